"""Resampled surfaces: intervals that hold the truth, and statements that are counted."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.statements import loss_trend, size_trend
from moe_lib.laws.basis import feature
from moe_lib.laws.isoflop import Surface, choose_degrees, choose_degrees_of_draws, cross_validate
from moe_lib.laws.resampled import among_runs, resample_surface, without_effect
from moe_lib.paper import SPARSITIES


def noisy_runs(noise: float, seed: int = 0, seeds: int = 1) -> pd.DataFrame:
    """Losses with a valley at log N = 14 + s / 2, and one along s at s = 2 + (log N - 14)."""
    rows = [(n, s, k) for s in feature("S", SPARSITIES) for n in 14 + np.linspace(-2, 4, 9) for k in range(seeds)]
    n, s, _ = np.array(rows).T
    loss = 3 + 0.1 * (n - 14) ** 2 - 0.1 * (n - 14) * s + 0.05 * s**2 - 0.2 * s
    loss = loss + noise * np.random.default_rng(seed).standard_normal(len(loss))
    return pd.DataFrame({"N": np.exp(n), "S": -np.expm1(-s), "L": loss})


def test_intervals_of_best_sizes_hold_the_truth_and_shrink_with_noise() -> None:
    widths = []
    for noise in (0.02, 0.002):
        found = resample_surface(noisy_runs(noise), resamples=100).best_size([0.0, 0.9])
        for row, s in zip(found.to_dict("records"), (0.0, np.log(10)), strict=True):
            assert row["low"] <= np.exp(14 + s / 2) <= row["high"]
            assert row["L_low"] <= row["L"] <= row["L_high"]
        assert found["bracketed"].min() == 1
        widths.append(np.log(found["high"] / found["low"]).mean())
    assert widths[0] > 5 * widths[1]


def test_the_best_sparsity_of_a_size_has_its_interval_too() -> None:
    found = resample_surface(noisy_runs(0.005), resamples=100).best_sparsity([np.exp(15.0)]).iloc[0]
    assert found["low"] <= -np.expm1(-3.0) <= found["high"]
    assert found["bracketed"] == 1


def test_a_statement_is_counted_over_the_refits() -> None:
    resampled = resample_surface(noisy_runs(0.01), resamples=50)

    def slope(surface: Surface) -> float:
        return float(np.diff(np.log(surface.best_size([0.0, 0.9])["N"]))[0] / np.log(10))

    value, low, high = resampled.interval(slope)
    assert low < 0.5 < high
    assert low < value < high
    assert resampled.share(lambda surface: slope(surface) > 0) == 1
    assert resampled.share(lambda surface: slope(surface) > value) == pytest.approx(0.5, abs=0.3)


def test_seeds_of_one_cell_are_drawn_together() -> None:
    three = noisy_runs(0.0, seeds=3).assign(L=lambda table: table["L"] + 0.01 * (table["S"] > 0.9))
    one = three.groupby(["N", "S"], as_index=False).first()
    wide, narrow = (resample_surface(t, resamples=100).best_size([0.98]).iloc[0] for t in (one, three))
    assert np.log(narrow["high"] / narrow["low"]) == pytest.approx(np.log(wide["high"] / wide["low"]), rel=0.35)


def test_a_corner_without_runs_is_distinguished_from_the_middle() -> None:
    runs = pd.DataFrame({"N": [1e5, 1e6, 1e6, 1e7], "S": [0.0, 0.0, 0.9, 0.9]})
    assert list(among_runs(runs, [5e5, 1e7, 3e6], [0.0, 0.0, 0.8])) == [True, False, True]


def test_without_an_effect_of_sparsity_total_size_still_rises_with_it() -> None:
    a, s = (grid.ravel() for grid in np.meshgrid(14 + np.linspace(-2, 2, 7), feature("S", SPARSITIES)))
    loss = 3 + 0.1 * (a - 14) ** 2 - 0.2 * s
    table = pd.DataFrame({"Na": np.exp(a), "N": np.exp(a + s), "S": -np.expm1(-s), "L": loss, "shape": a.round(2)})
    total, active = (without_effect(table, 0.01, size=size, draws=50) for size in ("N", "Na"))  # type: ignore[arg-type]
    rises, low, high = total.interval(lambda surface: size_trend(surface, SPARSITIES))
    assert low < rises < high
    assert low > 0.5
    for surfaces, trend in ((active, size_trend), (active, loss_trend)):
        value, low, high = surfaces.interval(lambda surface, of=trend: of(surface, SPARSITIES))  # type: ignore[misc]
        assert value == pytest.approx(0, abs=1e-6)
        assert low < 0 < high


def test_degrees_chosen_in_closed_form_are_those_of_leaving_each_cell_out() -> None:
    table = noisy_runs(0.02)
    for seed in range(3):
        some = noisy_runs(0.05, seed).sample(40, random_state=seed)
        trials = cross_validate(some, folds=len(some))
        good = trials[trials["within_one_se"]].sort_values(["terms", "mse"])
        assert choose_degrees(some) == good["degrees"].iloc[0]
    counts = np.ones((3, len(table)))
    counts[1, ::2] = 0
    counts[2, :10] = 3
    alone = [choose_degrees_of_draws(table, own[None])[0] for own in counts]
    assert choose_degrees_of_draws(table, counts) == alone
    assert alone[1] == choose_degrees(table.iloc[1::2])


def test_intervals_are_wider_if_degrees_are_chosen_in_each_resample() -> None:
    table = noisy_runs(0.04)
    fixed = resample_surface(table, choose_degrees(table), resamples=80)
    chosen = resample_surface(table, None, resamples=80)
    assert chosen.fitted.degrees == fixed.fitted.degrees
    assert len({one.degrees for one in chosen.refits}) > 1
    widths = [np.log(one.best_size([0.98]).eval("high / low")).iloc[0] for one in (fixed, chosen)]
    assert widths[1] > widths[0]
    nothing = without_effect(table.assign(shape=table["N"].round(3).astype(str)), 0.04, None, draws=20)
    assert len({one.degrees for one in nothing.refits}) > 1
