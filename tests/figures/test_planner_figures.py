"""Figures of plans show the optimum, the band, and the end of a law's data."""

import numpy as np
import pytest

from moe_lib.figures.planner import valley, valleys
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
