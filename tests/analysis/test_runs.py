"""The ledger's rows in symbols, and which of them are selected."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from moe_lib.analysis.runs import SURFACES, UNIT, cell_means, finished, isoflop_runs, surface_blocks, surface_runs
from moe_lib.errors import InputError
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import EXPERIMENTS, GRIDS
from moe_lib.sweeps import read_sweep


def test_rows_become_a_table_in_symbols_without_diverged_runs() -> None:
    row = {
        "status": "done", "n_params": 2e5, "n_params_active": 1e5, "n_tokens": 1e6, "sparsity": 0.9, "flops": 1.01e13,
        "loss": 3.0, "loss_standard_error": 0.01,
        "config": {"model": {"d_model": 48, "n_layers": 2}, "training": {"flops": 1e13, "seed": 2}},
    }  # fmt: skip
    diverged = {name: value for name, value in row.items() if "loss" not in name} | {"status": "diverged"}
    found = isoflop_runs([row, diverged]).to_dict("records")
    assert found == [
        {"N": 2e5, "Na": 1e5, "D": 1e6, "S": 0.9, "C": 1e13, "L": 3.0, "se": 0.01, "shape": "48 x 2", "seed": 2}
    ]


def test_seeds_of_a_cell_become_one_row() -> None:
    runs = pd.DataFrame(
        [(1e13, 0.0, "48 x 2", seed, 1e5, 1e5, 9e6, 3.0 + seed / 10) for seed in (0, 1, 2)]
        + [(1e13, 0.9, "48 x 2", 0, 1e6, 1e5, 9e6, 2.9), (3e12, 0.0, "48 x 2", 0, 1e5, 1e5, 3e6, 3.5)],
        columns=["C", "S", "shape", "seed", "N", "Na", "D", "L"],
    )
    found = cell_means(runs).set_index(["C", "S"])
    assert found["n"].to_dict() == {(3e12, 0.0): 1, (1e13, 0.0): 3, (1e13, 0.9): 1}
    assert found.loc[(1e13, 0.0), "L"] == pytest.approx(3.1)


def test_runs_are_selected_in_the_order_of_the_sweep_and_only_by_one_that_exists(
    make_row: Callable[..., Row], tmp_path: Path
) -> None:
    sweep, ledger = tmp_path / "sweep.yaml", Ledger(tmp_path / "runs.jsonl")
    sweep.write_text(
        "base: {model: {d_model: 8, n_layers: 1, n_heads: 2}}\n"
        "blocks: [{name: one, grid: {training.flops: [1, 2, 3]}}, {name: two, grid: {training.flops: [4]}}]\n"
    )
    runs = {run.training.flops: run for run in read_sweep(sweep)}
    keys = {flops: run.key for flops, run in runs.items()}
    for flops in (4, 3, 1):
        ledger.append(make_row(runs[flops]))
    assert [row["key"] for row in finished(ledger, sweep=sweep)] == [keys[1], keys[3], keys[4]]
    assert [row["key"] for row in finished(ledger, "two", sweep=sweep)] == [keys[4]]
    with pytest.raises(InputError, match=r"grid\.yaml: cannot be read"):
        finished(ledger, sweep=tmp_path / "grid.yaml")


@pytest.mark.parametrize("sweep", sorted({*GRIDS.values(), EXPERIMENTS / "grid.yaml", EXPERIMENTS / "modern.yaml"}))
def test_surfaces_are_those_of_any_grid_at_one_budget_or_all(
    sweep: Path, make_row: Callable[..., Row], tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    everything = list({run.key: run for run in read_sweep(sweep)}.values())
    for run in everything:
        ledger.append(make_row(run))
    asked = [run for run in read_sweep(sweep, *surface_blocks(sweep))]
    assert {"surface", "noise"} < set(surface_blocks(sweep)) < set(SURFACES)
    assert len(surface_runs(ledger, sweep=sweep)) == len({run.key for run in asked}) < len(everything)
    at_unit = {run.key for run in asked if run.training.flops == UNIT}
    assert len(surface_runs(ledger, UNIT, sweep)) == len(at_unit) >= 42
    with pytest.raises(InputError, match=f"blocks surface.* of {sweep.name} at 7e\\+13 FLOPs"):
        surface_runs(ledger, 7e13, sweep)
