"""Figures of laws asked one question show each answer, its band, and where a law's data end."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures.related import best_sparsity_by_bound, law_answers


def test_answers_show_the_data_the_band_and_hollow_ends_and_leave_the_silent_out() -> None:
    rows = [("x", 0.9, 0.8, 0.95, 0.98, False), ("y", 0.875, 0.8, 0.875, 0.875, True), ("z", np.nan, 0, 0, 0.5, False)]
    table = pd.DataFrame(rows, columns=["law", "S", "low", "high", "box", "edge"]).assign(far=False)
    [axes] = law_answers({"a": table}).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(list(-np.log1p(-table["box"])))
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx([-np.log(0.1), -np.log(0.125)])
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y", "z"]


def test_along_a_bound_the_end_of_the_data_is_dotted() -> None:
    rows = [("x", 1.0, 0.5, False), ("x", 10.0, 0.9, False), ("x", 100.0, 0.98, True), ("x", 1000.0, 0.98, True)]
    lines = pd.DataFrame(rows, columns=["law", "x", "S", "edge"]).assign(low=0.4, high=0.98)
    [axes] = best_sparsity_by_bound(lines, "bound").axes
    solid, dotted = axes.lines
    assert list(np.isnan(solid.get_ydata())) == [False, False, True, True]
    assert list(np.isnan(dotted.get_ydata())) == [True, False, False, False]
    assert axes.get_xlabel() == "bound"
