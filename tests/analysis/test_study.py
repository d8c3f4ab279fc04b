"""What is said of grids: of whole ones, of ones with a budget or cells missing, and of several side by side."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.budgets import complete_budgets, compute_multiples, gains_by_budget, progress
from moe_lib.analysis.noise import noise_by_size, noise_of
from moe_lib.analysis.prose import on_prose
from moe_lib.analysis.routes import EVEN, NOTHING, PROSE, falls_at_every_step, holding, judge_by_routes, listed
from moe_lib.analysis.runs import isoflop_runs
from moe_lib.analysis.study import Study, studies, surface_quality
from moe_lib.analysis.transitions import transition_shares, transition_table
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import EXPERIMENTS, GRIDS, RESULTS

MODERN = EXPERIMENTS / "modern.yaml"
LOWEST, MIDDLE, UPPER = 1e13, 3e13, 1e14
Rows = list[Row]
Write = Callable[[Rows], Ledger]


def budget_of(row: Row) -> float:
    return float(row["config"]["training"]["flops"])


def study(rows: Rows) -> Study:
    return Study("modern", MODERN, rows)


def test_progress_counts_cells_and_seeds_of_every_budget(surfaces: Rows, ledger_of: Write) -> None:
    upper = [row for row in surfaces if budget_of(row) == UPPER]
    table = progress(ledger_of([row for row in surfaces if row not in upper[:30]]), MODERN).set_index("C")
    assert table.loc[[LOWEST, MIDDLE], "complete"].all()
    assert not table.loc[[UPPER, 3e14], "complete"].any()
    assert table.loc[UPPER, ["done", "asked"]].to_list() == [12, 42]
    assert table.loc[MIDDLE, ["seeds", "seeds_asked", "sparsities", "of"]].to_list() == [36, 36, 7, 7]
    assert table.loc[3e14, "done"] == 0


def test_a_missing_budget_leaves_what_is_said_of_the_others(surfaces: Rows) -> None:
    whole, fewer = study(surfaces), study([row for row in surfaces if budget_of(row) != MIDDLE])
    assert list(whole.cells) == [LOWEST, MIDDLE, UPPER]
    assert list(fewer.cells) == [LOWEST, UPPER]
    columns = ["C", "S", "shape", "L"]
    for flops in fewer.cells:
        pd.testing.assert_frame_equal(fewer.cells[flops][columns], whole.cells[flops][columns])


def test_with_a_third_of_the_cells_missing_no_budget_is_judged_and_nothing_fails(surfaces: Rows) -> None:
    shapes = sorted({(row["config"]["model"]["d_model"], row["config"]["model"]["n_layers"]) for row in surfaces})
    gone = shapes[::3]
    few = study(
        [r for r in surfaces if (r["config"]["model"]["d_model"], r["config"]["model"]["n_layers"]) not in gone]
    )
    assert few.cells == {}
    assert surface_quality(few).empty
    assert holding(judge_by_routes(few, draws=4)).empty
    assert falls_at_every_step(few, draws=4).empty


def test_a_sparsity_joins_a_complete_budget_with_its_fifth_size(surfaces: Rows) -> None:
    late = [row for row in surfaces if budget_of(row) == LOWEST and row["sparsity"] == 0.5]
    runs = isoflop_runs([row for row in surfaces if budget_of(row) == LOWEST and row not in late[:2]])
    [cells] = complete_budgets(runs).values()
    assert 0.5 not in set(cells["S"])
    assert len(cells) == 36
    [cells] = complete_budgets(isoflop_runs([row for row in surfaces if budget_of(row) == LOWEST])).values()
    assert len(cells) == 42
    assert complete_budgets(runs[runs["S"] != 0.9]) == {}


def test_every_route_finds_what_the_law_says_and_the_null_model_does_not(surfaces: Rows) -> None:
    found = judge_by_routes(study([row for row in surfaces if budget_of(row) == LOWEST]), draws=25)
    assert set(found["route"]) > {EVEN, PROSE, NOTHING}
    table = holding(found).set_index("statement")
    assert bool(table.loc["L* falls with S", "evidence"])
    assert bool(table.loc["N* rises with S", "holds"])
    assert bool(table.loc["N* rises with S", "trivial"])
    assert not table.loc["N* rises with S", "evidence"]


def test_without_effect_of_sparsity_nothing_is_evidence(surfaces: Rows) -> None:
    flat = [row | {"loss": float(3 + 0.1 * np.log(row["n_params_active"] / 1e5) ** 2)} for row in surfaces]
    rng = np.random.default_rng(0)
    flat = [row | {"loss": row["loss"] + 0.004 * rng.standard_normal()} for row in flat if budget_of(row) == LOWEST]
    table = holding(judge_by_routes(study([row | {"slices": {}} for row in flat]), draws=25)).set_index("statement")
    assert not table.loc["L* falls with S", "holds"]
    assert not table["evidence"].any()


def test_recipes_without_runs_are_left_out_and_the_book_has_some(surfaces: Rows, ledger_of: Write) -> None:
    ledger = ledger_of(surfaces[:3])
    grids = {"none": EXPERIMENTS / "grid.yaml", "modern": MODERN}
    assert [one.recipe for one in studies(ledger, grids)] == ["modern"]
    assert [one.recipe for one in studies(Ledger(RESULTS / "runs.jsonl"), GRIDS)]


def test_the_error_of_a_surface_is_compared_with_the_noise_of_its_cells(surfaces: Rows) -> None:
    own = study([row for row in surfaces if budget_of(row) == MIDDLE])
    table = surface_quality(own)
    assert list(table["size"]) == ["N", "Na"]
    assert (table["rmse"] < 3 * table["noise"]).all()
    assert 0.003 < table["noise"][0] < 0.013
    moved = study([row | {"loss": row["loss"] + 0.1 * (i % 2)} for i, row in enumerate(own.rows)])
    assert (surface_quality(moved)["rmse"] > 2 * table["rmse"]).all()


def test_noise_is_that_of_the_nearest_size_at_the_same_budget_first() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"C": flops, "S": s, "shape": shape, "Na": active, "L": 3 + spread * rng.standard_normal(), "seed": seed}
        for flops, shape, active, spread in ((1e13, "a", 1e5, 0.01), (1e13, "b", 1e6, 0.1), (1e14, "c", 1e5, 1.0))
        for s in (0.0, 0.5, 0.9)
        for seed in range(40)
    ]
    table = noise_by_size(pd.DataFrame(rows))
    assert table["noise"].to_list() == pytest.approx([0.01, 0.1, 1.0], rel=0.15)
    assert (table["low"] < table["noise"]).all()
    assert (table["noise"] < table["high"]).all()
    asked = pd.DataFrame({"C": [1e13, 1e13, 1e14, 3e13], "Na": [1.1e5, 9e5, 9e6, 9e5]})
    known = table["noise"].to_list()
    assert noise_of(asked, table).to_list() == [known[0], known[1], known[2], known[1]]


def test_the_loss_on_prose_leaves_out_code_and_documentation_of_interfaces(surfaces: Rows) -> None:
    [row] = on_prose(surfaces[:1])
    assert row["loss"] == pytest.approx(surfaces[0]["slices"]["bible"]["loss"])
    assert 0.005 < row["loss_standard_error"] < 0.02
    assert on_prose([surfaces[0] | {"slices": {}}, surfaces[0] | {"status": "diverged"}]) == []


def test_a_multiple_is_the_dense_budget_of_equal_loss_or_at_least_the_largest(surfaces: Rows) -> None:
    dense = pd.DataFrame({"C": [1e13, 1e14], "S": 0.0, "L": [3.0, 2.0]})
    fits = pd.concat([dense, pd.DataFrame({"C": [1e13, 1e14], "S": 0.9, "L": [2.5, 1.9]})], ignore_index=True)
    found = compute_multiples(fits).set_index(["C", "S"])
    assert found.loc[(1e13, 0.9), "multiple"] == pytest.approx(10**0.5)
    assert found["beyond"].to_dict() == {(1e13, 0.0): False, (1e14, 0.0): False, (1e13, 0.9): False, (1e14, 0.9): True}
    assert found["multiple"].drop((1e13, 0.9)).to_list() == pytest.approx([1, 1, 1])
    gains, _ = gains_by_budget(study(surfaces).cells, "Na")
    assert (gains.loc[gains["S"] == 0.98, "gain"] > 0).all()


def test_a_transition_that_never_came_counts_as_later_than_all(surfaces: Rows) -> None:
    lowest = [row for row in surfaces if budget_of(row) == LOWEST][:10]
    late = [row | {"dynamics": {"bigram_step": 50, "copy_step": None}} for row in lowest[:2]]
    [found] = transition_shares(transition_table([*late, *lowest[2:]])).to_dict("records")
    assert (found["recipe"], found["n"], found["copy_never"], found["bigram_never"]) == ("modern", 10, 2, 0)
    assert (found["bigram_late"], found["copy_median"], found["copy_late"]) == (0.05, 0.2, np.inf)
    assert transition_shares(transition_table([])).empty


@pytest.mark.parametrize(
    ("statements", "words"),
    [([], "none of the statements"), (["a"], "a"), (["a", "N_a* b", "c"], "a, Nₐ* b and c")],
)
def test_statements_are_listed_in_words(statements: list[str], words: str) -> None:
    assert listed(statements) == words
