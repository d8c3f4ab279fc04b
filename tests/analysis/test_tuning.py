"""Tuning runs: one change at a time, and batches at the rates of a rule."""

from itertools import product

import pandas as pd
import pytest

from moe_lib.analysis.tuning import by_batch, in_words, mean_gain, one_change, plain, seed_means
from moe_lib.sweeps.peak_rate import PeakRate


def test_seeds_are_averaged_and_nothing_else_is() -> None:
    names = ["sparsity", "batch_size", "learning_rate", "loss"]
    table = pd.DataFrame([(s, b, r, s + b + r) for s, b, r in product((0.0, 0.9), (4, 8), (0.1, 0.2))], columns=names)
    again = pd.concat([table, table.assign(loss=table["loss"] + 0.2)])
    means = seed_means(again)
    assert len(means) == len(table)
    assert means["loss"].to_numpy() == pytest.approx(table["loss"] + 0.1)


def test_one_change_is_distinguished_from_two_and_measured_against_its_own_sparsity() -> None:
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


def test_plain_runs_differ_from_the_base_in_free_fields_alone_and_come_once() -> None:
    def a_run(key: str, **fields: float) -> dict[str, object]:
        training = {"learning_rate": 0.01, "router_rate": 1.0} | fields
        return {"key": key, "config": {"model": {}, "training": training}}

    rows = [a_run("base"), a_run("rate", learning_rate=0.02), a_run("router", router_rate=0.3), a_run("base")]
    base = {"training.learning_rate": 0.01, "training.router_rate": 1.0}
    assert [row["key"] for row in plain(rows, base, ["training.learning_rate"])] == ["base", "rate"]


def test_changes_are_named_for_a_reader() -> None:
    assert in_words("") == "the base"
    assert in_words("warmup_fraction = 0.1") == "warm-up: 0.1"
    assert in_words("scaled_gates = 1") == "gates summing to one at the start"


def test_batches_are_compared_at_the_rates_of_the_rule_alone() -> None:
    rows = [
        (1e5, s, 1e13, 48, 2, batch, rate, 4 - s - 0.1 * (batch == 2) + (rate > 0.02))
        for s in (0.0, 0.9)
        for batch, rates in ((2, (0.007, 0.04)), (4, (0.01, 0.0101, 0.04)), (8, (0.014,)))
        for rate in rates
    ]
    names = ["n_params_active", "sparsity", "flops", "d_model", "n_layers", "batch_size", "learning_rate", "loss"]
    found = by_batch(pd.DataFrame(rows, columns=names), PeakRate(at_reference=0.01), noise=0.02)
    assert found[["n 2", "n 4", "n 8"]].to_numpy().tolist() == [[1, 2, 1]] * 2
    assert found["gain"].to_numpy() == pytest.approx(0.1)
    assert found["error"].to_numpy() == pytest.approx(0.02 * 1.5**0.5)
    assert mean_gain(found) == pytest.approx((0.1, 0.02 * 1.5**0.5 / 2**0.5))
