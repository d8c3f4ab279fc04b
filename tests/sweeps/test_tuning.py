"""Tuning runs: the best of them, one change at a time, and what the seed alone does."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from moe_lib.sweeps.tuning import best_rates, one_change, seed_means, seed_spread

RATES = 0.01 * 2.0 ** np.arange(-4, 5)


def runs(rates: np.ndarray = RATES) -> pd.DataFrame:
    """Cells whose loss is a parabola in log rate about the rule's own rate; a batch of 8 costs 0.05 nats more."""
    rows = []
    cells = product((5e4, 1e5, 3e5), (0.0, 0.75, 0.98), (1e12, 1e13))
    for (size, sparsity, flops), batch, rate in product(cells, (4, 8), rates):
        at = 0.01 * (size / 1e5) ** -0.3 * (1 - sparsity) ** 0.2 * (flops / 1e13) ** -0.1
        loss = 4 + 0.1 * np.log(rate / at) ** 2 + 0.05 * (batch == 8)
        rows.append((size, sparsity, flops, batch, rate, loss))
    names = ["n_params_active", "sparsity", "flops", "batch_size", "learning_rate", "loss"]
    return pd.DataFrame(rows, columns=names)


def test_a_best_rate_between_those_tried_is_found() -> None:
    best = best_rates(runs())
    assert best["bracketed"].all()
    cells = best[["n_params_active", "sparsity", "flops"]].to_numpy().T
    true = 0.01 * (cells[0] / 1e5) ** -0.3 * (1 - cells[1]) ** 0.2 * (cells[2] / 1e13) ** -0.1
    assert best["learning_rate"].to_numpy() == pytest.approx(true, rel=1e-3)


def test_a_best_rate_at_the_end_of_those_tried_is_marked() -> None:
    best = best_rates(runs(RATES[:3]))
    assert not best["bracketed"].any()
    assert (best["learning_rate"] == RATES[2]).mean() > 0.9


def test_a_diverged_run_hides_no_vertex() -> None:
    table = runs()
    table.loc[table["learning_rate"] == RATES[-1], "loss"] = np.nan
    assert best_rates(table)["learning_rate"].notna().all()


def test_seeds_are_averaged_and_nothing_else_is() -> None:
    table = runs()
    again = pd.concat([table, table.assign(loss=table["loss"] + 0.2)])
    means = seed_means(again)
    assert len(means) == len(table)
    assert means["loss"].to_numpy() == pytest.approx(table["loss"] + 0.1)


def test_one_change_is_told_from_two_and_measured_against_its_own_sparsity() -> None:
    def a_run(sparsity: float, loss: float, **fields: float) -> dict[str, object]:
        training = {"learning_rate": 0.01, "router_rate": 1.0, "seed": 0} | fields
        return {"sparsity": sparsity, "loss": loss, "config": {"model": {}, "training": training}}

    rows = [
        a_run(0.0, 4.0),
        a_run(0.0, 4.2, seed=1),
        a_run(0.0, 4.3, learning_rate=0.02),
        a_run(0.9, 3.5),
        a_run(0.9, 3.4, router_rate=0.3),
        a_run(0.9, 3.0, router_rate=0.3, learning_rate=0.02),
    ]
    found = one_change(rows, {"training.learning_rate": 0.01, "training.router_rate": 1.0})
    differences = {(row["sparsity"], row["change"]): row["difference"] for row in found.to_dict("records")}
    assert differences == {
        (0.0, ""): 0.0,
        (0.0, "learning_rate = 0.02"): pytest.approx(0.2),
        (0.9, ""): 0.0,
        (0.9, "router_rate = 0.3"): pytest.approx(-0.1),
    }
    assert list(found.loc[found["change"] == "", "n"]) == [2, 1]


def test_the_spread_of_seeds_is_pooled_over_the_runs_that_differ_in_nothing_else() -> None:
    def a_run(sparsity: float, loss: float, rate: float, seed: int) -> dict[str, object]:
        return {"sparsity": sparsity, "loss": loss, "config": {"training": {"learning_rate": rate, "seed": seed}}}

    rows = [
        *(a_run(0.0, loss, 0.01, seed) for seed, loss in enumerate((4.0, 4.1, 4.2))),
        *(a_run(0.0, loss, 0.02, seed) for seed, loss in enumerate((5.0, 5.2))),
        a_run(0.9, 3.0, 0.01, 0),
    ]
    spread = seed_spread(rows)
    assert list(spread.index) == [0.0]
    assert spread[0.0] == pytest.approx(((0.02 + 0.02) / 3) ** 0.5)
