"""Trials of other rates: which rows belong to a grid, and what its rule costs by them."""

from pathlib import Path

import numpy as np
import pytest

from moe_lib.analysis.trials import Rate, regret_of_rule, trials_of
from moe_lib.config import RunConfig
from moe_lib.ledger import Row
from moe_lib.sweeps import read_sweep

SWEEP = """
peak_rate: {at_reference: 0.01}
muon_rate: {at_reference: 0.1}
base: {model: {embedding_multiplier: 5}, training: {flops: 1.0e+13}}
grid:
  model: [{d_model: 48, n_layers: 2, n_heads: 2}, {d_model: 96, n_layers: 2, n_heads: 2}]
  model.sparsity: [0, 0.9]
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def rows_of(sweep: Path, rate: Rate, best: float, **changes: float) -> list[Row]:
    """Each run of the sweep at five rates, with a loss that is lowest at `best` times the rule's."""
    rows = []
    for run in read_sweep(sweep):
        for factor in (0.5, 0.7, 1, 1.4, 2):
            changed = {rate: getattr(run.training, rate) * factor, **changes}
            trial = RunConfig(**run.with_(training=run.training.with_(**changed)).model_dump())
            rows.append(_row(trial, 3 + 0.1 * np.log(factor / best) ** 2 + 1e-4 * len(rows) % 3e-4))
    return rows


def _row(run: RunConfig, loss: float) -> Row:
    return {"key": run.key, "config": run.model_dump(), "status": "done", "loss": loss, "sparsity": run.model.sparsity,
            "n_params_active": run.model.d_model**2}  # fmt: skip


@pytest.mark.parametrize("rate", ["learning_rate", "muon_rate"])
def test_the_regret_of_a_rule_is_what_its_trials_gain(sweep: Path, rate: Rate) -> None:
    found = regret_of_rule(rows_of(sweep, rate, 1.4), sweep, rate)
    assert found is not None
    assert found["factor"].to_numpy() == pytest.approx(1.4, rel=0.02)
    assert found["regret"].to_numpy() == pytest.approx(0.1 * np.log(1.4) ** 2, rel=0.1)


def test_rows_of_other_designs_and_other_values_of_the_other_rate_are_no_trials(sweep: Path) -> None:
    own = rows_of(sweep, "learning_rate", 1)
    batch = rows_of(sweep, "learning_rate", 1, batch_size=2)
    muon = rows_of(sweep, "learning_rate", 1, muon_rate=0.2)[:3]
    assert len(trials_of([*own, *batch, *muon], sweep)) == len(own)
    assert trials_of(batch, sweep).empty
    assert regret_of_rule(batch, sweep) is None


def test_a_best_rate_that_was_not_tried_gives_no_regret(sweep: Path) -> None:
    found = regret_of_rule(rows_of(sweep, "learning_rate", 20), sweep)
    assert found is not None
    assert found["regret"].isna().all()
