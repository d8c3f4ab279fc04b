"""The training loop; a killed run resumes and finishes bit-identical to an uninterrupted one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from moe_lib.budget import Plan, plan
from moe_lib.config import RunConfig
from moe_lib.data import BatchStream, TokenCorpus
from moe_lib.data.injection import Injection, injection
from moe_lib.errors import InputError
from moe_lib.machine import memory_bytes
from moe_lib.model import Transformer, build_model
from moe_lib.model.anatomy import OVERALL
from moe_lib.model.backends import backend_for, check_backend, device_of, name_of
from moe_lib.training import checkpoint
from moe_lib.training.dynamics import anatomist_of, look_steps
from moe_lib.training.optimizer import make_optimizer
from moe_lib.training.steps import deterministic, is_resident, make_steps

SMOOTHED = 50  # steps over which the reported loss is averaged
EXPLODED = 2.0  # a loss above this multiple of the loss of guessing ends the run


@dataclass(frozen=True)
class Progress:
    """Progress after a step: mean loss of the last fifty (nats per token), tokens/s since this process began."""

    step: int
    n_steps: int
    loss: float
    tokens_per_second: float


class Stopped(Exception):
    """Raised by `on_step` to end training early; the loop saves a checkpoint first."""


@dataclass(frozen=True)
class Trained:
    """A finished run.

    `injected`: its injected facts; `epochs`: how often it read its corpus; `losses` [n_steps]: float32, NaN after a
    divergence; `looks` [n_looks, n_values]: the anatomist's vectors at `look_steps`; `tokens_per_second`: over all
    processes that trained the run (NaN if a checkpoint lacked its seconds).
    """

    model: Transformer
    plan: Plan
    injected: Injection | None
    epochs: float
    losses: Tensor
    looks: Tensor
    diverged: bool
    tokens_per_second: float


def train(
    run: RunConfig,
    corpus: TokenCorpus,
    folder: Path | None = None,
    *,
    backend: str | None = None,
    seconds_between_checkpoints: float = 60.0,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train a run, from its newest checkpoint in `folder` if there is one.

    Raises `InputError` if the corpus's vocabulary or size, or this machine's memory, does not fit the run, or if it
    lacks the run's device. A loss that is not finite or explodes ends the run as diverged. `on_step` may raise
    `Stopped`. On a GPU losses are read every fifty steps: `on_step` is called as often, and what follows a divergence
    is dropped.
    """
    device = device_of(run.training.device)
    with deterministic(device):
        return _train(run, corpus, folder, device, backend, seconds_between_checkpoints, on_step)


def _train(
    run: RunConfig,
    corpus: TokenCorpus,
    folder: Path | None,
    device: torch.device,
    backend: str | None,
    seconds_between_checkpoints: float,
    on_step: Callable[[Progress], None],
) -> Trained:
    training = run.training
    if corpus.vocab_size > run.model.vocab_size:
        raise InputError(f"model.vocab_size = {run.model.vocab_size} is smaller than the corpus's, {corpus.vocab_size}")
    schedule = plan(run)
    schedule.require_epochs(schedule.epochs(len(corpus.train)))
    schedule.require_memory(_memory(device), with_logits=device.type == "cuda")
    injected = injection(schedule, corpus.tokenizer)
    stream = BatchStream(corpus.train, training.batch_size, run.model.context_length, training.seed, injected)
    schedule.require_epochs(stream.epochs_at(schedule.n_steps))  # injected facts fill less than their share
    backend = backend or backend_for(run.model, device, training.precision)
    check_backend(backend, run.model, training.precision, device)
    model = build_model(
        run.model, training.seed, backend, training.expert_spread, training.precision, training.output_init
    )
    model.to(device)
    resident = is_resident(device, len(corpus.train))
    optimizer = make_optimizer(model, training, native=model.backend == "native", capturable=resident)
    losses = torch.full((schedule.n_steps,), math.nan)
    anatomist = anatomist_of(corpus, run.model.context_length)
    look_at = {step: index for index, step in enumerate(look_steps(schedule.n_steps))}
    looks = torch.full((len(look_at), anatomist.n_values(run.model) if anatomist else len(OVERALL)), math.nan)
    start, seconds_before = 0, 0.0
    owner = f"{run.key} {corpus.digest} {model.backend}{_device_part(device)}"  # all that would change the losses
    if folder and (saved := checkpoint.load_newest(folder, owner)):
        start, seconds_before = saved.step, saved.seconds
        losses, looks = saved.tensors["losses"], saved.tensors.get("looks", looks)
        checkpoint.restore(model, optimizer, saved)

    def save(step: int) -> None:
        if folder:
            checkpoint.save(folder, owner, checkpoint.capture(step, model, optimizer, losses, looks, seconds()))

    def look(step: int) -> None:
        if anatomist and step in look_at:
            looks[look_at[step]] = anatomist(model)

    def seconds() -> float:
        return seconds_before + time.monotonic() - began

    steps = make_steps(model, optimizer, stream, run, schedule.n_steps, resident)
    began = saved_at = time.monotonic()
    diverged, done = False, start
    if not start:
        look(0)
    while done < schedule.n_steps and not diverged:
        end = min(done + steps.at_once, *(step for step in (*look_at, schedule.n_steps) if step > done))
        losses[done:end] = steps.take(done, end)
        fine = (losses[done:end].double() < EXPLODED * math.log(run.model.vocab_size)).tolist()
        diverged = not all(fine)
        done = done + fine.index(False) + 1 if diverged else end
        losses[done:end] = math.nan
        if done == end:
            look(done)
        now = time.monotonic()
        recent = float(losses[max(0, done - SMOOTHED) : done].mean())
        try:
            on_step(Progress(done, schedule.n_steps, recent, _rate(done - start, schedule, now - began)))
        except Stopped:
            if not diverged:
                save(done)
            raise
        if not diverged and (done == schedule.n_steps or now - saved_at > seconds_between_checkpoints):
            save(done)
            saved_at = time.monotonic()
    return Trained(
        model.eval(),
        schedule,
        injected,
        stream.epochs_at(done),
        losses,
        looks,
        diverged,
        _rate(done, schedule, seconds()),
    )


def _memory(device: torch.device) -> int:
    """Bytes of memory that are free on a GPU, or that this machine has."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else memory_bytes()


def _device_part(device: torch.device) -> str:
    """The part of a checkpoint's owner about the device; nothing for the CPU, as in earlier versions."""
    if device.type == "cpu":
        return ""
    return f" {name_of(device).replace(' ', '-')} torch-{torch.__version__}"


def _rate(n_steps: int, schedule: Plan, seconds: float) -> float:
    return n_steps * schedule.tokens_per_step / (seconds + 1e-9)
