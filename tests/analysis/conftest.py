"""Ledgers of whole and of unfinished grids, with losses of a law."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moe_lib.analysis.runs import surface_blocks
from moe_lib.config import RunConfig
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import EXPERIMENTS
from moe_lib.sweeps import read_sweep

MODERN = EXPERIMENTS / "modern.yaml"
NOISE = 0.004  # nats, of the smallest model; the largest has three times as much


@pytest.fixture(scope="session")
def surfaces(lawful_row: Callable[..., Row]) -> list[Row]:
    """The rows that the surfaces of the modern grid will have, each copying at a fifth of its steps."""
    rng = np.random.default_rng(2)
    runs = [run for run in read_sweep(MODERN, *surface_blocks(MODERN)) if run.training.flops < 2e14]
    return [_with_dynamics(lawful_row(run, _noise(run) * float(rng.standard_normal()))) for run in runs]


@pytest.fixture
def ledger_of(tmp_path: Path) -> Callable[[list[Row]], Ledger]:
    """Writes rows to a ledger."""

    def write(rows: list[Row]) -> Ledger:
        ledger = Ledger(tmp_path / "runs.jsonl")
        for row in rows:
            ledger.append(row)
        return ledger

    return write


def _noise(run: RunConfig) -> float:
    return NOISE * (1 + 2 * (run.model.d_model > 70))


def _with_dynamics(row: Row) -> Row:
    slices = {name: {"loss": row["loss"] + 1, "loss_standard_error": 0.02, "bits_per_byte": 2.0} for name in PROSE}
    return row | {"n_steps": 1000, "dynamics": {"bigram_step": 50, "copy_step": 200}, "slices": slices}


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
