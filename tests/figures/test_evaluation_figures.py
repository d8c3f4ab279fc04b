"""The figures of the experimental setup show the table they were given."""

import pandas as pd
import pytest

from moe_lib.figures import evaluation as figures


def test_a_bar_is_as_long_as_its_slice_has_tokens_and_says_its_share() -> None:
    slices = pd.DataFrame(
        {"name": ["a", "facts"], "kind": ["English prose", "invented facts"], "tokens": [3_000_000, 1_000_000]}
    )
    (axes,) = figures.mixture(slices).axes
    lengths = dict(zip([label.get_text() for label in axes.get_yticklabels()], axes.containers[0], strict=True))
    assert {name: bar.get_width() for name, bar in lengths.items()} == {"a": 3.0, "facts": 1.0}
    assert {text.get_text() for text in axes.texts} == {"75%", "25%"}


def test_recall_shows_nats_and_shares_beside_chance() -> None:
    table = pd.DataFrame(
        {
            "exposure": [1, 64],
            "nll": [9.0, 6.0],
            "nll_standard_error": [0.4, 0.2],
            "accuracy": [0.2, 0.4],
            "n": [100, 100],
        }
    )
    nats, right = figures.recall(table, chance=0.25, exposures=[1, 64]).axes
    assert list(nats.lines[0].get_ydata()) == [9.0, 6.0]
    assert list(right.lines[0].get_ydata()) == [0.2, 0.4]
    bar = right.collections[0].get_segments()[1]
    assert bar[1][1] - bar[0][1] == pytest.approx(2 * (0.4 * 0.6 / 100) ** 0.5)
    assert [label.get_text() for label in nats.get_xticklabels()] == ["1", "64"]
