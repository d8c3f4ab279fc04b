"""`ours` is fitted to the runs of the grid's surfaces, and to no others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.our_law import law_named
from moe_lib.analysis.runs import surface_blocks
from moe_lib.errors import InputError
from moe_lib.laws.published import ABNAR2025
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import GRID
from moe_lib.sweeps import read_sweep


@pytest.fixture(scope="module")
def table_of_equation_6() -> pd.DataFrame:
    rows = [(n, d, s) for n in np.geomspace(1e8, 1e10, 4) for d in (1e9, 1e10, 1e11) for s in (0, 0.5, 0.9)]
    table = pd.DataFrame(rows, columns=["N", "D", "S"])
    return table.assign(L=ABNAR2025.loss(table["N"], table["D"], table["S"]))


@pytest.fixture
def ledger(table_of_equation_6: pd.DataFrame, make_row: Callable[..., Row], tmp_path: Path) -> Ledger:
    """Runs of the grid on which Eq. 6 holds, among others on which it does not."""
    ledger = Ledger(tmp_path / "runs.jsonl")
    surfaces, others = read_sweep(GRID, *surface_blocks(GRID)), read_sweep(GRID.with_name("tuning.yaml"))
    some = surfaces[:: len(surfaces) // len(table_of_equation_6)]  # of every block
    assert any(run.training.seed for run in some)
    for run, row in zip(some, table_of_equation_6.itertuples(index=False), strict=False):
        ledger.append(make_row(run, n_params=row.N, n_tokens=row.D, sparsity=row.S, loss=row.L))
    for run in others[:40]:
        ledger.append(make_row(run, n_params=1e11, n_tokens=1e9, sparsity=0.95, loss=9.0))
    [shared, *_] = read_sweep(GRID, "shared layers")
    ledger.append(make_row(shared, n_params=1e9, n_tokens=1e9, sparsity=shared.model.sparsity, loss=4.0))
    assert shared.model.sparsity == -1
    return ledger


def test_ours_is_equation_6_fitted_to_the_surfaces_of_the_ledger(ledger: Ledger) -> None:
    law = law_named("ours", ledger.path)
    assert law.values["beta"] == pytest.approx(0.3954, rel=1e-3)
    budgets = [row["config"]["training"]["flops"] for row in ledger.rows()[:36]]
    assert law.limits == {"N": 1e10, "D": 1e11, "S": 0.9, "C": max(budgets)}
    assert law.least == {"N": 1e8, "D": 1e9, "C": min(budgets)}
    assert law.source.startswith("fit to 36 runs of")


def test_ours_mixes_no_texts(ledger: Ledger, tmp_path: Path) -> None:
    mixed = Ledger(tmp_path / "mixed.jsonl")
    for index, row in enumerate(ledger.rows()):
        fields = {name: value for name, value in row.items() if name != "digest"}
        mixed.append(fields | {"corpus_digest": "one" if index else "another"})
    with pytest.raises(InputError, match="has runs on 2 different texts, whose losses cannot be compared"):
        law_named("ours", mixed.path)


def test_ours_needs_enough_runs(ledger: Ledger, tmp_path: Path) -> None:
    few = Ledger(tmp_path / "few.jsonl")
    for row in ledger.rows()[:36:5]:
        few.append(row)
    with pytest.raises(InputError, match="needs at least 12 runs, but there are 8"):
        law_named("ours", few.path)
    with pytest.raises(InputError, match="has no finished runs of the blocks surface, noise"):
        law_named("ours", tmp_path / "none.jsonl")
