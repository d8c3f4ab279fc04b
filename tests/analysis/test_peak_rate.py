"""The rule for the peak rate: one that was put into the runs comes back out of them, and costs nothing."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.peak_rate_fit import fit_rule
from moe_lib.analysis.regret import above_vertex, rates_tried, regret
from moe_lib.errors import InputError
from moe_lib.sweeps.peak_rate import PeakRate

TRUE = PeakRate(at_reference=0.01, size=-0.3, density=0.2, budget=-0.1)
RATES = 0.01 * 2.0 ** np.arange(-3, 4)
CURVATURE = 0.1


def runs(noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Cells whose loss is a parabola in log rate about the rule's own rate, each at a level of its own."""
    rng, rows = np.random.default_rng(seed), []
    for size, sparsity, flops in product((5e4, 1e5, 3e5), (0.0, 0.75, 0.98), (1e12, 1e13)):
        at = 0.01 * (size / 1e5) ** -0.3 * (1 - sparsity) ** 0.2 * (flops / 1e13) ** -0.1
        level = rng.uniform(3, 5)
        for rate in RATES:
            rows.append((size, sparsity, flops, rate, level + CURVATURE * np.log(rate / at) ** 2))
    table = pd.DataFrame(rows, columns=["n_params_active", "sparsity", "flops", "learning_rate", "loss"])
    return table.assign(loss=table["loss"] + noise * rng.standard_normal(len(table)))


def test_the_rule_behind_the_runs_is_found() -> None:
    found = fit_rule(runs())
    assert found.rule.model_dump() == pytest.approx(TRUE.model_dump(), rel=1e-3)
    assert found.curvature == pytest.approx(CURVATURE)


def test_intervals_of_the_rule_hold_the_truth_of_noisy_runs() -> None:
    hits = [
        [low <= getattr(TRUE, name) <= high for name, (low, high) in fit_rule(runs(0.05, seed)).intervals.items()]
        for seed in range(20)
    ]
    assert 0.85 <= np.mean(hits) <= 1


def test_noisy_cheap_runs_do_not_drown_the_others() -> None:
    def width(table: pd.DataFrame) -> float:
        low, high = fit_rule(table, ("size", "density")).intervals["size"]
        return high - low

    table = runs(0.02)
    cheap = table["flops"] == 1e12
    wild = table["loss"] + 0.3 * cheap * np.random.default_rng(5).standard_normal(len(table))
    assert width(table.assign(loss=wild)) < 2 * width(table[~cheap])


def test_the_right_rule_costs_nothing() -> None:
    found = regret(runs(), TRUE)
    assert len(found) == 6
    assert found["regret"].max() < 1e-4  # rates have two digits
    assert found["factor"].to_numpy() == pytest.approx(1, abs=0.03)


def test_a_rate_twice_too_high_costs_what_the_parabola_says_whatever_the_noise() -> None:
    twice = TRUE.with_(at_reference=0.02)
    exact = CURVATURE * np.log(2) ** 2
    assert regret(runs(), twice)["regret"].to_numpy() == pytest.approx(exact, rel=0.05)
    noisy = regret(runs(noise=0.02), twice)
    assert (noisy["regret_low"] < noisy["regret"]).all()
    assert ((noisy["regret_low"] < exact) & (exact < noisy["regret_high"])).mean() > 0.8


def test_runs_that_say_little_leave_the_best_rate_anywhere_among_those_tried() -> None:
    few = runs(noise=0.3).query("n_params_active == 1e5")
    found = regret(few, TRUE)
    assert (found["factor_low"] >= 0.25).all()
    assert (found["factor_high"] <= 4).all()
    assert (found["factor_high"] / found["factor_low"]).max() > 3


def test_a_loss_that_does_not_bend_has_no_regret_and_no_rule() -> None:
    down = runs().assign(loss=lambda table: 4 - 0.1 * np.log(table["learning_rate"] / 0.01) ** 2)
    for fit in (fit_rule, lambda table: regret(table, TRUE)):
        with pytest.raises(InputError, match="has no minimum in the learning rate"):
            fit(down)


def test_a_diverged_run_and_one_far_from_the_rule_change_no_regret() -> None:
    wild = runs()
    wild.loc[wild["learning_rate"] == RATES[-1], "loss"] = np.nan
    rule = [TRUE(*cell) for cell in wild[["n_params_active", "sparsity", "flops"]].to_numpy()]
    wild.loc[np.abs(np.log(wild["learning_rate"] / rule)) > np.log(4.1), "loss"] += 5
    assert regret(wild, TRUE)["regret"].max() < 1e-3


def test_a_cell_with_one_rate_changes_no_regret() -> None:
    lonely = runs().iloc[[3]].assign(n_params_active=9e5, loss=9.0)
    assert regret(pd.concat([runs(), lonely]), TRUE)["n"].sum() == regret(runs(), TRUE)["n"].sum()


def test_the_picture_shows_each_run_above_its_own_vertex() -> None:
    found = above_vertex(runs(), TRUE)
    assert found["above"].to_numpy() == pytest.approx(
        CURVATURE * found["offset"] ** 2, abs=0.01
    )  # rates have two digits


def test_too_few_runs_are_refused() -> None:
    cell = runs().query("n_params_active == 1e5 and sparsity == 0 and flops == 1e13")
    with pytest.raises(InputError, match="differ in too little"):
        fit_rule(cell)
    with pytest.raises(InputError, match="differ in too little"):
        regret(cell.iloc[1:3], TRUE)


def test_the_rates_tried_beside_the_rules_are_listed_with_their_loss() -> None:
    rows = [(1e5, 0.0, 1e13, 48, 2, rate, loss) for rate, loss in ((0.01, 3.0), (0.01, 3.2), (0.02, 3.3))]
    rows.append((1e5, 0.9, 1e13, 48, 2, 0.01, 2.9))  # a cell without another rate
    columns = [*("n_params_active", "sparsity", "flops"), "d_model", "n_layers", "learning_rate", "loss"]
    [cell] = rates_tried(pd.DataFrame(rows, columns=columns), PeakRate(at_reference=0.01)).to_dict("records")
    assert (cell["loss"], cell["n"], cell["others"]) == (pytest.approx(3.1), 2, {0.02: 3.3})
