"""The figures across recipes show every interval that they are given, and mark what never came."""

import numpy as np
import pandas as pd

from moe_lib.figures.statements import forest, gains, transition_strip


def test_a_forest_has_every_interval_and_a_hollow_null_model() -> None:
    rows = [
        (recipe, 1e13, statement, route, 1.0 + place, place, 2.0 + place, sign)
        for recipe in ("modern", "paper")
        for statement, sign in (("L* falls with S", -1), ("N* rises with S", 1), ("S* rises", 1))
        for place, route in enumerate(("chosen", "nothing"))
    ]
    columns = ["recipe", "C", "statement", "route", "value", "low", "high", "sign"]
    figure = forest(pd.DataFrame(rows, columns=columns), "nothing")
    first = figure.axes[0]
    intervals = [tuple(line.get_xdata()) for line in first.lines if len(line.get_xdata()) == 2 and line.get_lw() == 1.5]
    assert intervals == [(0, 2), (1, 3), (0, 2), (1, 3)]
    hollow = [line.get_xdata()[0] for line in first.lines if line.get_marker() != "None" and line.get_mfc() == "white"]
    assert hollow == [2.0, 2.0]
    assert [label.get_text().splitlines()[0] for label in first.get_yticklabels()] == ["modern", "paper"]
    sides = [axes.patches[0].get_extents().transformed(axes.transData.inverted()) for axes in figure.axes[:2]]
    assert sides[0].x1 <= 1e-9 <= sides[1].x1


def test_a_transition_that_never_came_is_counted_at_the_edge() -> None:
    table = pd.DataFrame({"recipe": "modern", "C": 1e13, "bigram_share": 0.05, "copy_share": [0.2, np.nan, np.nan]})
    axes = transition_strip(table).axes[0]
    assert [note.get_text() for note in axes.texts] == ["never: 2 of 3"]
    assert np.nanmax(axes.lines[1].get_xdata()) == 0.2


def test_gains_have_a_panel_per_recipe_and_hollow_extrapolations() -> None:
    fits = pd.DataFrame({"C": 1e13, "S": [0.0, 0.9], "gain": [0.0, 0.1], "error": 0.02, "place": ["inside", "outside"]})
    first, second = gains([("modern", fits), ("paper", fits.assign(C=3e13))]).axes
    assert tuple(axes.get_title() + axes.get_title(loc="left") for axes in (first, second)) == (
        "recipe: modern",
        "recipe: paper",
    )
    dots = [line for line in first.lines if line.get_marker() == "o"]
    assert [dot.get_mfc() == "white" for dot in dots] == [False, True]
