"""The figures of the experimental setup show the table they were given."""

import pandas as pd
import pytest

from moe_lib.figures import evaluation as figures


def test_a_bar_is_as_long_as_its_slice_has_tokens_and_says_its_share() -> None:
    slices = pd.DataFrame(
        {"name": ["a", "b"], "kind": ["English prose", "source code"], "tokens": [3_000_000, 1_000_000]}
    )
    (axes,) = figures.mixture(slices).axes
    lengths = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.containers[0], strict=True))
    assert {name: bar.get_width() for name, bar in lengths.items()} == {"a": 3.0, "b": 1.0}
    assert {text.get_text() for text in axes.texts} == {"75%", "25%"}


def test_recall_shows_both_names_and_what_the_right_one_saves() -> None:
    table = pd.DataFrame(
        {"exposure": [1, 64], "nll": [9.0, 6.0], "stranger": [9.5, 9.0], "knowledge": [0.5, 3.0]}
        | {f"{name}_error": [0.4, 0.2] for name in ("nll", "stranger", "knowledge")}
    )
    nats, gain = figures.recall(table).axes
    assert {tuple(container.lines[0].get_ydata()) for container in nats.containers} == {(9.5, 9.0), (9.0, 6.0)}
    (container,) = gain.containers
    assert list(container.lines[0].get_ydata()) == [0.5, 3.0]
    low, high = container.lines[2][0].get_segments()[1][:, 1]
    assert high - low == pytest.approx(2 * 0.2)
    assert [label.get_text() for label in nats.get_xticklabels()] == ["1", "64"]


def test_answers_are_shown_with_chance_and_those_above_it_are_marked() -> None:
    table = pd.DataFrame(
        {"question": ["town", "trade"], "n": [40, 400], "accuracy": [0.3, 0.4], "low": [0.2, 0.35], "high": [0.4, 0.45],
         "untrained": [0.2, 0.25], "chance": 0.25}
    )  # fmt: skip
    (axes,) = figures.answered(table).axes
    intervals = [line for line in axes.lines if line.get_lw() == 1.6]
    assert [tuple(line.get_xdata()) for line in intervals] == [(0.2, 0.4), (0.35, 0.45)]
    assert [line.get_color() for line in intervals] == [figures.INK, figures.ACCENT]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["town (40)", "trade (400)"]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"] == [0.25, 0.25]
