"""Exactness, parity with the CPU, and resumption on a device."""

import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from moe_lib.config import ModelConfig, RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.model import BACKENDS, build_model
from moe_lib.model.backends import check_backend
from moe_lib.training import Progress, train

Result = tuple[bool, dict[str, Any]]

BOUNDS = {"float32": 1e-4, "bfloat16": 0.05}  # relative errors of loss and gradients against float64
PARITY = {"float32": 0.01, "bfloat16": 0.03}  # nats, mean of the last fifty losses
STEPS, KILLED_AT = 200, 60


class Killed(Exception):
    """Stands in for a kill."""


def exactness(device: torch.device) -> Result:
    """Loss and gradients of a small model by every back end and precision, relative to float64 on the CPU."""
    config = ModelConfig(d_model=64, n_layers=2, n_heads=2, n_experts=8, n_experts_active=2, granularity=2,
                         vocab_size=512, context_length=128, qk_bias=True)  # fmt: skip
    tokens = torch.randint(512, (4, 128), generator=torch.Generator().manual_seed(1))

    def values(model: torch.nn.Module) -> torch.Tensor:
        at = next(model.parameters()).device
        loss = model(tokens.to(at), tokens.to(at)).nll_BT.mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return torch.cat([value.detach().flatten().double().cpu() for value in (loss, *gradients)])

    exact = values(build_model(config, 0, "loop").double())
    errors: dict[str, Any] = {}
    for backend in (*BACKENDS, "megablocks"):
        for precision, bound in BOUNDS.items():
            name = f"{backend} {precision}"
            try:
                check_backend(backend, config, precision, device)
                found = values(build_model(config, 0, backend, precision=precision).to(device))
                error = float(torch.linalg.vector_norm(found - exact) / torch.linalg.vector_norm(exact))
                errors[name] = {"relative_error": error, "bound": bound}
            except InputError as problem:  # it does not support this device or precision
                errors[name] = {"not_run": str(problem)[:300]}
            except Exception as problem:
                errors[name] = {"failed": f"{type(problem).__name__}: {problem}"[:300]}
    ran = [one for one in errors.values() if "not_run" not in one]
    return bool(ran) and all(one.get("relative_error", math.inf) < one.get("bound", 0) for one in ran), errors


def of_steps(run: RunConfig, n_steps: int, **training: Any) -> RunConfig:
    """A run cut to about so many steps."""
    from moe_lib.budget import plan

    flops = n_steps * plan(run).tokens_per_step * plan(run).flops_per_token
    return run.with_(training=run.training.with_(flops=float(flops), fact_share=0.0, max_epochs=1e9, **training))


def parity(run: RunConfig, corpus: TokenCorpus, device: torch.device) -> Result:
    """Losses of two hundred steps on the device and on the CPU, in both precisions."""
    results: dict[str, Any] = {}
    for precision, bound in PARITY.items():
        losses = [
            train(
                of_steps(run, STEPS, precision=precision, device=kind, batch_size=4), corpus, backend="grouped_mm"
            ).losses
            for kind in (device.type, "cpu")
        ]
        apart = (losses[0] - losses[1]).double()
        results[precision] = {
            "first_step": float(apart[0].abs()),
            "largest": float(apart.abs().max()),
            "last_fifty": float(apart[-50:].mean()),
            "bound": bound,
        }
    return all(abs(one["last_fifty"]) < one["bound"] for one in results.values()), results


def resumption(run: RunConfig, corpus: TokenCorpus, device: torch.device) -> Result:
    """Whether a run that is killed and resumed has the losses of an uninterrupted one, to the last bit."""
    results: dict[str, Any] = {}

    def kill(progress: Progress) -> None:
        if progress.step >= KILLED_AT:
            raise Killed

    for precision in PARITY:
        short = of_steps(run, 2 * KILLED_AT, precision=precision, device=device.type, batch_size=8)
        undisturbed = train(short, corpus, backend="grouped_mm").losses
        with tempfile.TemporaryDirectory() as folder:
            try:
                train(short, corpus, Path(folder), backend="grouped_mm", seconds_between_checkpoints=0, on_step=kill)
            except Killed:
                resumed = train(short, corpus, Path(folder), backend="grouped_mm").losses
                apart = (resumed - undisturbed).abs()
                results[precision] = {"bit_identical": torch.equal(resumed, undisturbed), "largest": float(apart.max())}
    return all(one["bit_identical"] for one in results.values()) and len(results) == len(PARITY), results
