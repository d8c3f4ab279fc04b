"""The steps of a run: batches cut by the host, or everything on the device.

`HostSteps` is for the CPU, and for a corpus that is too large for the device. `DeviceSteps` keeps the corpus, the
starts of all windows, the rates and the losses on the device, so that a step needs nothing from the host and a CUDA
graph can hold it.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from moe_lib.config import RunConfig
from moe_lib.data import BatchStream
from moe_lib.errors import Notice
from moe_lib.model import Transformer
from moe_lib.model.grouped import is_fast
from moe_lib.training.optimizer import Adam, learning_rate

READ_EVERY = 50  # steps between two readings of the losses from a GPU
WARM_UPS = 3  # steps before a capture, in which libraries allocate what they need
LARGEST_SHARE = 0.25  # of a device's free memory that a corpus may take


class Steps(Protocol):
    """The steps of a run."""

    @property
    def at_once(self) -> int: ...

    def take(self, first: int, last: int) -> Tensor:
        """Take steps first to last - 1; returns their losses, float32, on the CPU."""
        ...


def update(
    model: Transformer, optimizer: Adam, tokens_BT: Tensor, targets_BT: Tensor, rate: float | Tensor, run: RunConfig
) -> Tensor:
    """One update; returns its language-model loss, without the auxiliary losses."""
    training = run.training
    output = model(tokens_BT, targets_BT)
    assert output.nll_BT is not None
    loss = output.nll_BT.mean()
    auxiliary = training.load_balance_weight * output.load_balance + training.router_z_weight * output.router_z
    optimizer.zero_grad(set_to_none=True)
    (loss + auxiliary if run.model.n_experts > 1 else loss).backward()
    optimizer.set_rate(rate)
    optimizer.clip_and_step(training.gradient_clip)
    detached: Tensor = loss.detach()
    return detached


class HostSteps:
    """Steps whose batches the host cuts, one by one."""

    def __init__(self, model: Transformer, optimizer: Adam, stream: BatchStream, run: RunConfig, n_steps: int) -> None:
        self.model, self.optimizer, self.stream, self.run, self.n_steps = model, optimizer, stream, run, n_steps
        self.device = model.embedding.weight.device
        self.at_once = 1 if self.device.type == "cpu" else READ_EVERY

    def take(self, first: int, last: int) -> Tensor:
        """See `Steps`."""
        return torch.stack([self._step(step) for step in range(first, last)]).float().cpu()

    def _step(self, step: int) -> Tensor:
        tokens_BT, targets_BT = (part.to(self.device, non_blocking=True) for part in self.stream.batch(step))
        rate = learning_rate(step, self.n_steps, self.run.training)
        return update(self.model, self.optimizer, tokens_BT, targets_BT, rate, self.run)


class DeviceSteps:
    """Steps that need nothing from the host; with `graph` they are replays of one captured step.

    The optimiser has to be `capturable`, and its moments restored before the first step.
    """

    at_once = READ_EVERY

    def __init__(
        self, model: Transformer, optimizer: Adam, stream: BatchStream, run: RunConfig, n_steps: int, graph: bool
    ) -> None:
        self.model, self.optimizer, self.run, self.wants_graph = model, optimizer, run, graph
        device = model.embedding.weight.device
        # Few operations know uint16, so tokens are int16 there and `batch` undoes the sign.
        self.token_T = torch.from_numpy(stream.whole().view(np.int16)).to(device)
        self.start_SB = torch.from_numpy(stream.starts(0, n_steps)).to(device)
        rates = [learning_rate(step, n_steps, run.training) for step in range(n_steps)]
        self.rate_S = torch.tensor(rates, device=device)
        self.loss_S = torch.zeros(n_steps, device=device)
        self.offset_T = torch.arange(run.model.context_length + 1, device=device)
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def take(self, first: int, last: int) -> Tensor:
        """See `Steps`."""
        self.step.fill_(first)
        if self.wants_graph:
            self.wants_graph = False
            self._capture()
        for _ in range(first, last):
            self.graph.replay() if self.graph else self.once()
        return self.loss_S[first:last].cpu()

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the current step: int64 [batch_size, context_length]."""
        start_B = self.start_SB.index_select(0, self.step)[0]
        row_BT = self.token_T[start_B[:, None] + self.offset_T].long() & 0xFFFF
        return row_BT[:, :-1], row_BT[:, 1:]

    def once(self) -> None:
        """The current step; the number of the step moves on."""
        rate = self.rate_S.index_select(0, self.step)[0]
        loss = update(self.model, self.optimizer, *self.batch(), rate, self.run)
        self.loss_S.index_copy_(0, self.step, loss.float()[None])
        self.step += 1

    def _capture(self) -> None:
        """Capture a step as a graph; weights and optimiser are as before. A notice says why there is no graph."""
        saved = {id(tensor): tensor.clone() for tensor in self._state()}
        try:
            self.graph = self._record()
        except RuntimeError as error:
            warnings.warn(f"no CUDA graph ({str(error).splitlines()[0]}); steps are slower", Notice, stacklevel=3)
        with torch.no_grad():
            for tensor in self._state():  # moments that did not exist were zeros
                tensor.copy_(saved[id(tensor)]) if id(tensor) in saved else tensor.zero_()

    def _record(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        first = self.step.clone()
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.step.copy_(first)
                self.once()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.once()
        return graph

    def _state(self) -> list[Tensor]:
        """What a step changes, but for its loss."""
        moments = [tensor for state in self.optimizer.state.values() for tensor in state.values()]
        return [self.step, *self.model.parameters(), *moments]


def make_steps(
    model: Transformer, optimizer: Adam, stream: BatchStream, run: RunConfig, n_steps: int, resident: bool
) -> Steps:
    """The steps of a run, everything on the device if its corpus is `resident`; captured if the model allows it."""
    if not resident:
        return HostSteps(model, optimizer, stream, run, n_steps)
    graph = model.backend == "grouped_mm" and is_fast(run.training.precision, model.embedding.weight.device)
    return DeviceSteps(model, optimizer, stream, run, n_steps, graph)


def is_resident(device: torch.device, n_tokens: int) -> bool:
    """Whether a corpus should be kept on the device: on GPUs, unless it takes too much of their memory."""
    if device.type != "cuda":
        return False
    return 2 * n_tokens < LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Sums in the same order each time on a GPU, so that a run resumes bit-identical; the CPU needs nothing."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the library is first used
    settings: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # nothing reads it, and filling it takes time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
