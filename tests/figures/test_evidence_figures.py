"""The figures of the evidence show the runs they were given, and mark what is lowest and what is extrapolated."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures import evidence
from moe_lib.laws.isoflop import parabolas
from moe_lib.sweeps.peak_rate import PeakRate, above_vertex, price


def test_the_lowest_run_of_each_panel_is_ringed() -> None:
    rows = [
        (16, 1, sparsity, batch, rate, 4 + sparsity + 0.1 * batch + np.log(rate / 0.01) ** 2)
        for sparsity in (0.0, 0.9)
        for batch in (2, 4)
        for rate in (0.005, 0.01, 0.02)
    ]
    table = pd.DataFrame(rows, columns=["d_model", "n_layers", "sparsity", "batch_size", "learning_rate", "loss"])
    table.loc[0, "loss"] = np.nan
    dense, sparse = evidence.tuning(table, context_length=256).axes
    for axes, lowest in ((dense, 4.2), (sparse, 5.1)):
        rings = [line for line in axes.lines if line.get_markersize() == 11]
        assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [
            ([0.01], [pytest.approx(lowest)])
        ]
        assert sorted(len(line.get_xdata()) for line in axes.lines if line not in rings) in ([2, 3], [3, 3])


def test_each_parabola_goes_through_its_vertex_and_an_outside_one_is_hollow() -> None:
    sizes = np.geomspace(1e5, 1e7, 6)
    runs = pd.concat(
        pd.DataFrame({"N": sizes, "S": s, "L": 3 + 0.1 * np.log(sizes / best) ** 2, "se": 0.01})
        for s, best in ((0.0, 1e6), (0.9, 1e8))
    )
    fits = parabolas(runs)
    inside, outside = evidence.raw_parabolas(runs, fits).axes[:2]
    curve = inside.lines[0]
    assert curve.get_ydata().min() == pytest.approx(3, abs=1e-3)
    assert curve.get_xdata()[curve.get_ydata().argmin()] == pytest.approx(1e6, rel=0.05)
    assert inside.lines[-1].get_markerfacecolor() != "white"
    assert outside.lines[-1].get_markerfacecolor() == "white"


def test_the_price_of_a_rate_is_drawn_from_its_parabola() -> None:
    rows = [
        (1e5, s, c, rate, 4 + 0.1 * np.log(rate / 0.01 / factor) ** 2)
        for s, factor in ((0.0, 1.0), (0.9, 2.0))
        for c in (1e12, 1e13)
        for rate in 0.01 * 2.0 ** np.arange(-2, 3)
    ]
    runs = pd.DataFrame(rows, columns=["n_params_active", "sparsity", "flops", "learning_rate", "loss"])
    rule = PeakRate(at_reference=0.01)
    figure = evidence.price(above_vertex(runs, rule), price(runs, rule))
    for axes, factor in zip(figure.axes, (1.0, 2.0), strict=True):
        diamonds = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
        assert diamonds == [pytest.approx(factor, rel=0.02)] * 2
        points = [line for line in axes.lines if line.get_marker() == "o"]
        assert [len(line.get_xdata()) for line in points] == [5, 5]


def test_every_seed_is_shown_about_the_mean_of_its_cell() -> None:
    table = pd.DataFrame(
        [(s, shape, above) for s in (0.0, 0.9) for shape in ("16 x 1", "32 x 2") for above in (-0.01, 0.0, 0.01)],
        columns=["S", "shape", "above"],
    )
    axes = evidence.noise(table, pd.Series({0.0: 0.01, 0.9: 0.02})).axes[0]
    shown = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(shown) == 4
    assert all(sorted(line.get_ydata()) == [-0.01, 0.0, 0.01] for line in shown)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dense, S = 0\nsd 0.010", "S = 0.9\nsd 0.020"]


def test_optima_are_broken_where_no_runs_are_near_and_hollow_outside() -> None:
    sparsities = np.array([0.0, 0.9])
    best = pd.DataFrame({"S": sparsities, "L": [3.0, 2.9], "L_low": [2.9, 2.8], "L_high": [3.1, 3.0]})
    total, active = (best.assign(**{size: [1e5, 2e5], "low": [9e4, 1e5], "high": [2e5, 3e5]}) for size in ("N", "Na"))
    ends = {f"{size}_{end}": 1e5 for size in ("N", "Na") for end in ("low", "high")}
    pairs = best.assign(N=1e5, Na=1e5, **ends, place=["inside", "outside"])
    at_size = pd.DataFrame({"N": [1e5, 1e6], "S": [0.5, 0.99], "low": 0.1, "high": 0.995, "among": [True, False]})
    figure = evidence.optima(total, active, pairs, at_size)
    first, last = figure.axes[0], figure.axes[-1]
    assert [line.get_markerfacecolor() == "white" for line in first.lines if line.get_marker() == "D"][:2] == [
        False,
        True,
    ]
    solid, dotted = last.lines
    assert list(np.isnan(solid.get_ydata())) == [False, True]
    assert list(np.isnan(dotted.get_ydata())) == [True, False]


def test_budgets_are_lines_in_which_a_vertex_outside_is_hollow() -> None:
    fits = pd.DataFrame(
        [(s, c, 4 - c / 1e13 - s / 10, 1e5 * c / 1e13) for c in (3e12, 1e13) for s in (0.0, 0.9)],
        columns=["S", "C", "L", "Na"],
    )
    ends = {"L_low": fits["L"], "L_high": fits["L"], "low": fits["Na"], "high": fits["Na"]}
    fits = fits.assign(**ends, place=["outside", "inside", "inside", "inside"])
    loss, size = evidence.budgets(fits, pd.Series({3e12: 2e4, 1e13: 5e4})).axes
    lines = [list(line.get_ydata()) for line in loss.lines if line.get_marker() == "None"]
    assert lines == [list(own["L"]) for _, own in fits.groupby("C")]
    hollow = [line.get_ydata()[0] for line in size.lines if line.get_marker() == "D" and line.get_mfc() == "white"]
    assert hollow == [fits["Na"][0]]
    assert [line.get_ydata()[0] for line in size.lines if line.get_linestyle() == ":"] == [2e4, 5e4]
