"""The map of chapters puts what is needed above what needs it; the lab's runs are shown by sparsity."""

import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.figures.teaching import dependency_map, lab_runs, levels

NEEDS = {"primer": (), "setup": ("primer",), "law": ("primer",), "fits": ("law", "setup"), "more": ("gone",)}


def test_a_chapter_is_below_everything_that_it_needs() -> None:
    assert levels(NEEDS) == {"primer": 0, "setup": 1, "law": 1, "fits": 2, "more": 0}


def test_chapters_that_need_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="in a circle"):
        levels({"a": ("b",), "b": ("a",)})


def test_the_map_has_a_box_for_each_chapter_and_an_arrow_for_each_need() -> None:
    [axes] = dependency_map(NEEDS, {"primer": 1, "fits": 2}).axes
    boxes = [text for text in axes.texts if text.get_text()]
    arrows = [text for text in axes.texts if not text.get_text()]
    assert {box.get_text() for box in boxes} == NEEDS.keys()
    assert len(arrows) == 4
    heights = {box.get_text(): box.get_position()[1] for box in boxes}
    assert heights["primer"] > heights["law"] > heights["fits"]


def test_a_lab_shows_the_queries_of_one_budget() -> None:
    table = pd.DataFrame({"C": [1e17] * 4 + [1e18], "S": [0.0, 0.0, 0.9, 0.9, 0.9], "N": [1e7, 2e7, 5e7, 9e7, 1e8]})
    figure = lab_runs(table.assign(L=[3.0, 2.9, 2.8, 2.85, 2.0]), 1e17)
    dense, sparse, best = figure.axes[0].lines
    assert list(dense.get_ydata()) == [3.0, 2.9]
    assert list(sparse.get_xdata()) == [5e7, 9e7]
    assert list(best.get_ydata()) == [2.8]
