"""The paper's grid at its own scale is what the paper says, and its plan adds up."""

import itertools

import pytest

from moe_lib import paper
from moe_lib.accounting import count_parameters
from moe_lib.config import RunConfig
from moe_lib.planner.at_scale import gpu_plan
from moe_lib.planner.hardware import Hardware
from moe_lib.repository import EXPERIMENTS
from moe_lib.sweeps import read_sweep

FOLDER = EXPERIMENTS / "paper"


@pytest.fixture(scope="module")
def grid() -> list[RunConfig]:
    return read_sweep(FOLDER / "grid.yaml")


def test_the_grid_has_the_papers_budgets_sparsities_sizes_and_shapes(grid: list[RunConfig]) -> None:
    cells = {(run.training.flops, run.model.sparsity) for run in grid}
    assert cells == set(itertools.product(paper.BUDGETS, paper.SPARSITIES))
    assert {sum(cell == (run.training.flops, run.model.sparsity) for run in grid) for cell in cells} == {7}
    for run in grid:
        assert run.model == paper.model(run.model.n_layers, run.model.sparsity)
        assert run.training.batch_size == paper.TABLE1["batch_size"][0]
    sizes = [count_parameters(run.model).total for run in grid]
    assert paper.SIZES[0] < min(sizes) < 1.2 * paper.SIZES[0]
    assert 0.95 * paper.SIZES[1] < max(sizes) < paper.SIZES[1]


def test_the_search_covers_table_1() -> None:
    runs = read_sweep(FOLDER / "search.yaml")
    for name in ("learning_rate", "warmup_fraction", "load_balance_weight", "router_z_weight", "batch_size"):
        assert {getattr(run.training, name) for run in runs} == set(paper.TABLE1[name])
    assert {run.model.sparsity for run in runs} == set(paper.SPARSITIES)
    assert {run.model.granularity / paper.model(15, run.model.sparsity).granularity for run in runs} == {1, 2}
    assert len(runs) == 3 * 3 + 6 * (3 * 3 * 2 * 2)


def test_the_plan_is_the_arithmetic_of_its_assumptions(grid: list[RunConfig]) -> None:
    table = gpu_plan(grid, 8, Hardware(1e15, 0.5))
    assert (table["gigabytes"] == table["n_params"] * 16 / 8 / 1e9).all()
    assert table["gpu_hours"].sum() == pytest.approx(7 * 7 * sum(paper.BUDGETS) / 5e14 / 3600, rel=0.01)
    greedy = table[table["epochs"] > 1]
    assert len(greedy)
    assert (greedy["n_tokens"] > paper.CORPUS_TOKENS).all()
    assert (table[table["epochs"] <= 1]["n_tokens"] <= paper.CORPUS_TOKENS).all()
