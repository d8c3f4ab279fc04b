"""Right answers with intervals: which questions have them, and how wide they are."""

import pytest

from moe_lib.analysis.questions import answers


def test_only_questions_with_choices_are_kept_and_more_of_them_narrow_the_interval() -> None:
    row = {"question": "few", "n": 40, "accuracy": 0.5, "untrained_accuracy": 0.2, "chance": 0.25}
    many = row | {"question": "many", "n": 400}
    open_ended = [row | {"question": "no choices", "chance": 0.0}, row | {"question": "nats only", "chance": None}]
    table = answers([row, *open_ended, many]).set_index("question")
    assert list(table.index) == ["few", "many"]
    few = table.loc["few"]
    assert (few["low"], few["high"]) == pytest.approx((0.352, 0.648), abs=0.001)
    width = table["high"] - table["low"]
    assert width["few"] == pytest.approx(width["many"] * 10**0.5, rel=0.1)
