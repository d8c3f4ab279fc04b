"""Tuning runs: one change at a time, and how long the plateau is."""

from itertools import product

import pandas as pd
import pytest

from moe_lib.analysis.tuning import one_change, seed_means, steps_above


def test_seeds_are_averaged_and_nothing_else_is() -> None:
    names = ["sparsity", "batch_size", "learning_rate", "loss"]
    table = pd.DataFrame([(s, b, r, s + b + r) for s, b, r in product((0.0, 0.9), (4, 8), (0.1, 0.2))], columns=names)
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


def test_a_plateau_ends_where_the_curve_first_falls_below_a_loss_or_never() -> None:
    row = {"curve": {"step": [10, 20, 30, 40], "loss": [6.0, 4.4, 4.6, 4.0]}}
    assert steps_above(row, 4.5) == 20
    assert steps_above(row, 3.0) is None
