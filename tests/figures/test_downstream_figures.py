"""Figures of Section 4: a colour per sparsity, margins and intervals as given, and power curves through their dots."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.probes import least_visible
from moe_lib.figures import downstream as figures
from moe_lib.figures.style import ACCENT, sparsity_color

RUNS = pd.DataFrame({
    "loss": [3.0, 3.2, 3.4, 3.1, 3.3, 3.5], "sparsity": [0.0] * 3 + [0.9] * 3,
    "last word": [8.0, 8.4, 8.8, 8.2, 8.6, 9.0], "open book": [9.0, np.nan, 9.2, 9.4, 9.1, 9.3],
})  # fmt: skip


def test_each_sparsity_has_its_colour_and_the_band_is_the_shared_range() -> None:
    figure = figures.skill_against_loss(RUNS, {"last word": "a. last word", "open book": "b. open book"}, (3.1, 3.4))
    words, book = figure.axes
    curve, *points = words.lines
    assert [line.get_color() for line in points] == [sparsity_color(s) for s in (0.0, 0.9)]
    assert curve.get_ydata()[[0, -1]] == pytest.approx([8.0, 9.0], abs=0.01)
    assert sum(len(line.get_xdata()) for line in book.lines[1:]) == 5
    assert words.patches[0].get_extents().transformed(words.transData.inverted()).intervalx == pytest.approx((3.1, 3.4))


def test_an_effect_that_is_not_equivalent_is_hollow_and_one_that_is_not_measured_has_no_dot() -> None:
    table = pd.DataFrame({
        "name": ["one", "two", "three"], "effect": [0.01, 0.2, np.nan], "low": [-0.03, 0.1, np.nan],
        "high": [0.05, 0.3, np.nan], "equivalent": [True, False, np.nan],
    })  # fmt: skip
    [axes] = figures.effects_at_equal_loss(table).axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    assert dots[1].get_color() == ACCENT
    assert [words.get_text() for words in axes.texts] == ["measures nothing here"]
    low, high = axes.get_xlim()
    assert low < -0.1
    assert high > 0.3


def test_a_dot_is_on_its_power_curve() -> None:
    table = pd.DataFrame({"name": ["one"], "error": [0.05], "freedom": [12], "visible": [least_visible(0.05, 12)]})
    [axes] = figures.power_of_tests(table).axes
    curve = next(line for line in axes.lines if line.get_label() == "one")
    dot = next(line for line in axes.lines if line.get_marker() == "o")
    assert np.interp(dot.get_xdata()[0], *curve.get_data()) == pytest.approx(0.8, abs=0.01)


def test_every_run_is_in_both_panels_of_open_and_closed_book() -> None:
    runs = RUNS.assign(closed=7.0, stranger=7.5, open=9.0, knowledge=[0.1, 0.2, 0.3, 0.4, 0.5, 0.9])
    nats, saved = figures.open_and_closed(runs).axes
    assert [len(line.get_xdata()) for line in nats.lines] == [6, 6, 6]
    means = [line.get_ydata()[0] for line in saved.lines if line.get_marker() == "_"]
    assert means == pytest.approx([0.2, 0.6])


def test_only_a_score_above_chance_is_marked() -> None:
    tasks = pd.DataFrame({"accuracy": [0.3, 0.6], "accuracy_standard_error": 0.03, "chance": [0.25, 0.5], "n": 200})
    [axes] = figures.scores_beside_chance(tasks, ["one", "two"]).axes
    dots = [line.get_color() for line in axes.lines if line.get_marker() == "o"]
    assert [colour == ACCENT for colour in dots] == [False, True]
