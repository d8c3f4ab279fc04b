"""Ledgers of whole and of unfinished grids, with losses of a law."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moe_lib.accounting import count_parameters, tokens_for_budget
from moe_lib.analysis.runs import surface_blocks
from moe_lib.config import RunConfig
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import EXPERIMENTS
from moe_lib.sweeps import read_sweep

MODERN = EXPERIMENTS / "modern.yaml"
NOISE = 0.004  # nats, of the smallest model; the largest has three times as much
TRUTH = Law(
    SPARSITY,
    {
        "a": 50,
        "b": 200,
        "c": 0.3,
        "d": 5,
        "e": 1,
        "alpha": 0.35,
        "beta": 0.35,
        "lambda": -0.1,
        "delta": 0.1,
        "gamma": 0.2,
    },
)


@pytest.fixture(scope="session")
def surfaces() -> list[Row]:
    """The rows that the surfaces of the modern grid will have, each copying at a fifth of its steps."""
    rng = np.random.default_rng(2)
    runs = [run for run in read_sweep(MODERN, *surface_blocks(MODERN)) if run.training.flops < 2e14]
    return [_row(run, float(rng.standard_normal())) for run in runs]


@pytest.fixture
def ledger_of(tmp_path: Path) -> Callable[[list[Row]], Ledger]:
    """Writes rows to a ledger."""

    def write(rows: list[Row]) -> Ledger:
        ledger = Ledger(tmp_path / "runs.jsonl")
        for row in rows:
            ledger.append(row)
        return ledger

    return write


def _row(run: RunConfig, noise: float) -> Row:
    counts = count_parameters(run.model)
    tokens = tokens_for_budget(run.model, run.training.flops)
    loss = float(TRUTH.loss(counts.total, tokens, run.model.sparsity))
    spread = NOISE * (1 + 2 * (run.model.d_model > 70))
    slices = {name: {"loss": loss + 1, "loss_standard_error": 0.02, "bits_per_byte": 2.0} for name in PROSE}
    return {
        "key": run.key, "config": run.model_dump(), "status": "done", "sparsity": run.model.sparsity,
        "n_params": counts.total, "n_params_active": counts.active, "n_tokens": tokens, "flops": run.training.flops,
        "loss": loss + spread * noise, "loss_standard_error": 0.01, "corpus_digest": "made up", "epochs": 0.5,
        "n_steps": 1000, "dynamics": {"bigram_step": 50, "copy_step": 200}, "slices": slices,
    }  # fmt: skip


PROSE = (
    "dictionary",
    "python-docstrings",
    "encyclopaedia",
    "cookbook",
    "bible",
    "manuals",
    "command-help",
    "library-docstrings",
)
