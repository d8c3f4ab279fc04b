"""The figures of the evidence show the runs they were given, and mark what is lowest and what is extrapolated."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures import evidence
from moe_lib.laws.parabola import parabolas


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


def test_optima_are_broken_without_near_runs_and_hollow_outside() -> None:
    sparsities = np.array([0.0, 0.9])
    best = pd.DataFrame({"S": sparsities, "L": [3.0, 2.9], "L_low": [2.9, 2.8], "L_high": [3.1, 3.0]})
    total, active = (best.assign(**{size: [1e5, 2e5], "low": [9e4, 1e5], "high": [2e5, 3e5]}) for size in ("N", "Na"))
    ends = {f"{size}_{end}": 1e5 for size in ("N", "Na") for end in ("low", "high")}
    pairs = best.assign(N=1e5, Na=1e5, **ends, place=["inside", "outside"])
    at_size = pd.DataFrame({"N": [1e5, 1e6], "S": [0.5, 0.99], "low": 0.1, "high": 0.995, "among": [True, False]})
    figure = evidence.optima({"one": (total, active, at_size), "two": (total, active, at_size)}, pairs)
    first, last = figure.axes[0], figure.axes[-1]
    assert [line.get_markerfacecolor() == "white" for line in first.lines if line.get_marker() == "D"][:2] == [
        False,
        True,
    ]
    assert len(last.lines) == 4
    solid, dotted = last.lines[:2]
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
