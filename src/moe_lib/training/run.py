"""A run from configuration to ledger row: train, evaluate, record."""

import math
import platform
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moe_lib.accounting import count_parameters
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.data.facts import World
from moe_lib.ledger import Row
from moe_lib.model import Transformer
from moe_lib.model.backends import name_of
from moe_lib.training.dynamics import dynamics
from moe_lib.training.folder import save_run
from moe_lib.training.loop import Progress, Trained, train

CURVE_POINTS = 100

Evaluate = Callable[[Transformer, TokenCorpus, World | None], dict[str, Any]]


def execute(
    run: RunConfig,
    corpus: TokenCorpus,
    evaluate: Evaluate,
    folder: Path | None = None,
    *,
    backend: str | None = None,
    seconds_between_checkpoints: float = 60.0,
    on_step: Callable[[Progress], None] = lambda progress: None,
) -> Row:
    """Train and evaluate a run; returns its ledger row. `load_run` reads what this writes to `folder`.

    Raises `InputError` as `train` does, and if the corpus's files were changed meanwhile.
    """
    trained = train(
        run,
        corpus,
        folder,
        backend=backend,
        seconds_between_checkpoints=seconds_between_checkpoints,
        on_step=on_step,
    )
    corpus.require_unchanged()
    if folder:
        save_run(folder, run, trained.model, corpus)
    world = trained.injected.world if trained.injected else None
    evaluation = {} if trained.diverged else evaluate(trained.model, corpus, world)
    if not math.isfinite(evaluation.get("loss", 0.0)):  # only the last update went wrong
        trained, evaluation = replace(trained, diverged=True), {}
    row: Row = _finite(make_row(run, corpus, trained, evaluation))
    return row


def make_row(run: RunConfig, corpus: TokenCorpus, trained: Trained, evaluation: dict[str, Any]) -> Row:
    """The ledger row of a run: its configuration, counts, results, and machine."""
    parameters, schedule, injected = count_parameters(run.model), trained.plan, trained.injected
    speed = trained.tokens_per_second
    return {
        "key": run.key,
        "status": "diverged" if trained.diverged else "done",
        "config": run.model_dump(),
        "corpus_digest": corpus.digest,
        "sparsity": run.model.sparsity,
        "n_params": parameters.total,
        "n_params_active": parameters.active,
        "n_params_non_embedding": parameters.total_non_embedding,
        "n_params_active_non_embedding": parameters.active_non_embedding,
        "flops": schedule.flops,
        "flops_per_token": schedule.flops_per_token,
        "n_tokens": schedule.n_tokens,
        "n_steps": schedule.n_steps,
        "epochs": trained.epochs,
        "facts": injected and {"people_per_exposure": injected.world.people_per_exposure, "n_windows": len(injected)},
        "curve": loss_curve(trained.losses.numpy()),
        "dynamics": dynamics(corpus, trained.losses, trained.looks),
        **evaluation,
        "backend": trained.model.backend,
        "tokens_per_second": None if math.isnan(speed) else round(speed, 1),
        "device": name_of(trained.model.embedding.weight.device),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("moe-lib", "torch", "numpy", "tokenizers")}
        | {"python": platform.python_version(), "machine": platform.machine()},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _finite(value: Any) -> Any:
    """A value with None for numbers that are not finite, which the ledger's JSON cannot hold."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def loss_curve(losses: np.ndarray) -> dict[str, list[float]]:
    """Training loss in about a hundred bins, evenly spaced in the log of the step: last step and mean of each bin."""
    done = losses[np.isfinite(losses)]
    if not len(done):
        return {"step": [], "loss": []}
    ends = np.unique(np.geomspace(1, len(done), CURVE_POINTS).round().astype(int))
    means = [float(part.mean()) for part in np.split(done, ends[:-1])]
    return {"step": ends.tolist(), "loss": [round(mean, 5) for mean in means]}
