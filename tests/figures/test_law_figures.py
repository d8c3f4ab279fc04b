"""Figures of laws show what they are given."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures import isoflop, laws
from moe_lib.laws.isoflop import fit_surface
from moe_lib.laws.optimum import Budget
from moe_lib.laws.published import ABNAR2025
from moe_lib.paper import SPARSITIES

BUDGET = Budget(ABNAR2025, 1e20)


@pytest.fixture
def runs() -> pd.DataFrame:
    rows = [(n, 1e20 / (6 * (1 - s) * n), s, 1e20) for s in SPARSITIES for n in np.geomspace(1e8, 1e10, 6)]
    table = pd.DataFrame(rows, columns=["N", "D", "S", "C"])
    return table.assign(L=ABNAR2025.loss(table["N"], table["D"], table["S"]))


def test_slices_mark_the_optimum_of_every_sparsity() -> None:
    left, right = laws.slices(BUDGET, SPARSITIES, np.geomspace(1e8, 1e11, 30), (6e7, 15e9)).axes
    for axes, expected in (
        (left, [float(BUDGET.best_size(s)) for s in SPARSITIES]),
        (right, [float(BUDGET.active(BUDGET.best_size(s), s)) for s in SPARSITIES]),
    ):
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert marks == pytest.approx(expected)


def test_the_surface_draws_both_ridges_and_the_cloud() -> None:
    cloud = pd.DataFrame({"N": [1e9, 2e9], "S": [0.9, 0.95]})
    axes = laws.law_surface(BUDGET, (1e8, 1e10), cloud, data=(5e9, 0.95), best=(1.5e9, 0.92)).axes[0]
    by_label = {line.get_label(): line for line in axes.lines}
    assert by_label["best N at each S"].get_xdata()[0] == pytest.approx(float(BUDGET.best_size(0.0)))
    assert by_label["best S at each N"].get_ydata()[-1] == pytest.approx(-np.log1p(-float(BUDGET.best_sparsity(1e10))))
    assert by_label["bootstrap refits"].get_ydata() == pytest.approx(-np.log1p(-cloud["S"]))
    assert by_label["optimum"].get_ydata() == pytest.approx([-np.log1p(-0.92)])


def test_residuals_are_in_percent_of_the_loss(runs: pd.DataFrame) -> None:
    figure = laws.fit_and_residuals(runs, runs["L"] * 1.01)
    panel = next(axes for axes in figure.axes if axes.get_xlabel() == "tokens D")
    assert np.asarray(panel.collections[0].get_offsets())[:, 1] == pytest.approx(np.full(len(runs), 100 * np.log(1.01)))


def test_an_isoflop_surface_shows_every_run_and_breaks_the_line_outside_its_grid(runs: pd.DataFrame) -> None:
    axes = isoflop.fitted_surface(fit_surface(runs), runs).axes[0]
    dots = next(part for part in axes.collections if len(part.get_offsets()) == len(runs))
    assert len(dots.get_offsets()) == len(runs)
    inside, outside = axes.lines
    finite = [np.isfinite(np.asarray(line.get_xdata(), dtype=float)) for line in (inside, outside)]
    assert np.all(finite[0] ^ finite[1])


def test_profiles_and_published_fits_have_a_mark_for_each_row() -> None:
    curve = pd.DataFrame({"alpha": [0.3, 0.4, 0.5], "statistic": [5.0, 0.0, 5.0], "inside": [False, True, False]})
    inside = np.asarray(laws.profiles({"alpha": curve}).axes[0].lines[2].get_ydata(), dtype=float)
    assert list(np.isfinite(inside)) == [False, True, False]
    rows = pd.DataFrame({"label": ["x", "y"], "n": [10, 20], "gain": [1e-3, 1e-7]})
    assert sorted(laws.below_published(rows).axes[0].lines[0].get_xdata()) == [1e-7, 1e-3]


def test_bias_curves_are_drawn_against_the_offset() -> None:
    curve = pd.DataFrame({"offset": [0.5, 1.0, 2.0], "bias": [0.9, 1.0, 1.1]})
    assert list(isoflop.vertex_bias({(0.0, 8): curve}).axes[0].lines[1].get_ydata()) == [0.9, 1.0, 1.1]
