"""Figures of plans show the optimum, the band, and the end of a law's data."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures.planner import along_memory, answers, memory_bars, valley, valleys
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024, FRANTAR2024
from moe_lib.planner import PAPER, Demand

BOUNDED = Demand(1e21, max_params=5e9).of(ABNAR2025)


def test_the_valley_marks_its_optimum_and_shades_its_band() -> None:
    n, s = BOUNDED.solve()
    [axes] = valley(BOUNDED).axes
    [dot] = [line for line in axes.lines if line.get_marker() == "o"]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == pytest.approx((-np.log1p(-s), float(BOUNDED.loss(n, s))))
    band = -np.log1p(-np.array(BOUNDED.band(n, s)["sparsity"]))
    [shade] = axes.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx(tuple(band))
    assert f"S = {s:.3g}, N = 5B" in axes.get_title(loc="left")


def test_beyond_the_data_the_curve_is_dotted_and_an_end_is_not_called_an_optimum() -> None:
    [axes] = valley(Demand(1e21).of(ABNAR2025)).axes
    solid, dotted = (line for line in axes.lines if line.get_marker() != "o")
    assert (solid.get_linestyle(), dotted.get_linestyle()) == ("-", ":")
    assert solid.get_xdata()[-1] == dotted.get_xdata()[0] == pytest.approx(-np.log(0.02))
    assert dotted.get_ydata()[-1] < solid.get_ydata()[-1]
    assert "S = 0.98 (end of the data)" in axes.get_title(loc="left")


def test_several_laws_are_drawn_above_their_own_optima() -> None:
    demand = Demand(1e21, max_params=5e9)
    laws = {"abnar2025": ABNAR2025, "frantar2024": FRANTAR2024, "besiroglu2024": BESIROGLU2024}
    figure = valleys({name: demand.of(law, PAPER, PAPER.convention) for name, law in laws.items()})
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [dot.get_ydata()[0] for dot in dots] == [0, 0, 0]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(laws)


MEMORY = pd.DataFrame(
    {
        "bytes": [1e10, 1e11, 1e12],
        "S": [0.5, 0.9, 0.98],
        "low": [0.0, 0.8, 0.97],
        "high": [0.7, 0.95, 0.98],
        "flops": [0.006, 0.007, 0.01],
        "max_bytes": [0.009, 0.006, 0.0],
        "max_sparsity": [0.0, 0.0, 0.004],
    }
)


def test_along_memory_the_band_is_around_the_best_sparsity_and_worths_are_in_thousandths() -> None:
    figure = along_memory(MEMORY, 80)
    left, right = figure.axes
    best = next(line for line in left.lines if len(line.get_xdata()) == 3)
    assert best.get_xdata() == pytest.approx([10, 100, 1000])
    assert best.get_ydata() == pytest.approx(-np.log1p(-MEMORY["S"]))
    curves = {line.get_label(): line.get_ydata() for line in right.lines if len(line.get_xdata()) == 3}
    assert curves["memory"] == pytest.approx([9, 6, 0])
    assert len(curves) == len(figure.legends[0].get_texts()) == 3


def test_memory_is_counted_in_devices_from_all_and_from_active_parameters() -> None:
    table = pd.DataFrame({"S": [0.0, 0.98], "total": [40e9, 1600e9], "active": [40e9, 80e9]})
    [axes] = memory_bars(table, 80e9).axes
    assert [bar.get_width() for bar in axes.patches] == [0.5, 20]
    [dots] = [line for line in axes.lines if line.get_marker() == "o"]
    assert list(dots.get_xdata()) == [0.5, 1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "0.98"]


def test_answers_have_a_dot_per_demand_hollow_at_the_end_of_the_data() -> None:
    rows = {"demand": ["free", "80 GB"], "S": [0.98, 0.9], "low": [0.97, 0.8], "high": [0.98, 0.95]}
    [axes] = answers(pd.DataFrame(rows | {"edge": [True, False]})).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["free", "80 GB"]
    assert [line.get_markerfacecolor() == "white" for line in axes.lines] == [True, False]
    assert axes.lines[1].get_xdata()[0] == pytest.approx(-np.log(0.1))
