"""The problem set accepts right answers, recognises common mistakes, and bears any other input."""

import pytest

from moe_lib.lab.problems import PROBLEMS, TOLERANCE, grade

RIGHT = {problem.name: problem.answer() for problem in PROBLEMS}


def test_right_answers_are_right_and_answers_just_beyond_the_tolerance_are_not() -> None:
    assert all(mark.right for mark in grade(RIGHT))
    assert not any(mark.right for mark in grade({name: x * (1 + 1.5 * TOLERANCE) for name, x in RIGHT.items()}))


def test_a_common_mistake_is_told_what_it_is() -> None:
    for problem in PROBLEMS:
        for hint, wrong in problem.slips.items():
            [mark] = [one for one in grade({problem.name: wrong()}) if one.name == problem.name]
            assert (mark.right, mark.comment) == (False, hint)


@pytest.mark.parametrize(
    ("answer", "comment"), [(None, "not answered"), ("many", "has to be a number"), (-1, "not yet")]
)
def test_other_answers_are_not_right_yet(answer: object, comment: str) -> None:
    marks = grade(dict.fromkeys(RIGHT, answer))
    assert {(mark.right, mark.comment) for mark in marks} == {(False, comment)}


def test_the_book_knows_some_answers_by_hand() -> None:
    assert RIGHT["flops"] == pytest.approx(1.2e20)
    assert RIGHT["tokens"] == pytest.approx(3.33e11, rel=0.01)
    assert RIGHT["memory"] == pytest.approx(80e9)
