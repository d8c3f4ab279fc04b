from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from moe_lib.errors import InputError
from moe_lib.figures.style import LARGE, count_axis, enlarge, new_figure, short_count, sparsity_color
from moe_lib.paper import SPARSITIES


def luminance(colour: str) -> float:
    """Relative luminance of a colour, 0 (black) to 1 (white), as contrast guidelines define it."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_sparser_is_brighter_so_that_the_order_survives_without_hue() -> None:
    brightness = [luminance(sparsity_color(s)) for s in SPARSITIES]
    assert all(a < b for a, b in pairwise(brightness))


def test_neighbouring_sparsities_differ_to_the_eye() -> None:
    colours = np.array([to_rgb(sparsity_color(s)) for s in SPARSITIES])
    assert (np.linalg.norm(np.diff(colours, axis=0), axis=1) > 0.15).all()


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_an_impossible_sparsity_has_no_colour(sparsity: float) -> None:
    with pytest.raises(InputError, match="sparsity"):
        sparsity_color(sparsity)


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999"), (1500, "1.5K"), (999_900, "1M"), (6e7, "60M"), (1.5e10, "15B"), (1.2e12, "1.2T"), (0, "0")],
)
def test_counts_read_as_people_say_them(count: float, text: str) -> None:
    assert short_count(count) == text


@given(st.floats(1e-2, 1e14))
def test_a_short_count_keeps_three_digits(count: float) -> None:
    text = short_count(count)
    scale = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1.0)
    assert float(text.rstrip("KMBT")) * scale == pytest.approx(count, rel=5.1e-3)


def test_a_count_axis_is_logarithmic_and_labelled_in_short_counts() -> None:
    figure, axes = new_figure("half")
    axes.plot([2e6, 3e9], [1, 2])
    count_axis(axes.xaxis, "total parameters N")
    figure.draw_without_rendering()
    labels = {label.get_text() for label in axes.get_xticklabels()}
    assert axes.get_xscale() == "log"
    assert {"10M", "100M", "1B"} <= labels


def test_a_short_count_axis_still_says_more_than_one_number() -> None:
    figure, axes = new_figure("half")
    axes.plot([6e4, 4e5], [1, 2])
    count_axis(axes.xaxis, "active parameters")
    figure.draw_without_rendering()
    shown = [t.label1.get_text() for t in axes.xaxis.get_major_ticks() if 6e4 <= t.get_loc() <= 4e5]
    assert shown == ["100K", "200K"]
    assert not any(tick.label1.get_text() for tick in axes.xaxis.get_minor_ticks())


def test_an_enlarged_panel_has_large_words() -> None:
    _, axes = new_figure("full")
    axes.set(title="a", xlabel="x")
    enlarge(axes)
    labels = [axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()]
    assert {label.get_fontsize() for label in labels} == {LARGE}
