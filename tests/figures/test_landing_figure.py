"""The landing page's figure marks the best dense model and the best one within the bound, at one budget."""

import pytest

from moe_lib.figures.landing import two_valleys
from moe_lib.laws.published import ABNAR2025
from moe_lib.planner import Demand

QUESTION = Demand(1e21, max_params=5e9).of(ABNAR2025)


def test_the_dots_are_the_best_dense_model_and_the_best_model_within_the_bound() -> None:
    [axes] = two_valleys(QUESTION).axes
    n, s = QUESTION.solve()
    dense = float(QUESTION.best_size(0.0))
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [
        pytest.approx((dense, float(QUESTION.loss(dense, 0.0)))),
        pytest.approx((n, float(QUESTION.loss(n, s)))),
    ]
    assert f"{dots[0][1] - dots[1][1]:.2f} nats" in [text.get_text() for text in axes.texts]


def test_each_valley_is_named() -> None:
    [axes] = two_valleys(QUESTION).axes
    _, s = QUESTION.solve()
    assert {"dense", f"S = {s:.2f}", "more than 5B"} <= {text.get_text() for text in axes.texts}
