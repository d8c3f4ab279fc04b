"""Outputs agree with their record if the words are the same and the numbers are within rounding, and only then."""

import pytest

from moe_lib.laws.parametric import Law
from moe_lib.laws.published import ABNAR2025
from outputs import Tolerance, differences


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ("loss 2.589", "loss 2.590"),  # the last digit rounds the other way
        ("loss 9.99", "loss 10.00"),
        ("N* 6.39e+08", "N* 6.40e+08"),
        ("N* 9.9e+11", "N* 1e+12"),  # what %g prints on either side of a power of ten
        ("alpha 0.5", "alpha 0.49999"),
        ("share 99%", "share 100%"),
        ("1,228 steps", "1,229 steps"),
        ("gain +0.000", "gain -0.000"),
        ("gain −0.5e−3", "gain -5e-4"),
        ("S = .98", "S = .97"),
        ("inside ( 8 to 241)", "inside (9 to 241)"),  # blanks pad a number
        ("x nan inf -inf", "x  nan   inf  -inf"),
        ("0.3 +- 0.1", "0.3 +- 0.1"),
    ],
)
def test_a_last_digit_that_rounds_the_other_way_agrees(recorded: str, found: str) -> None:
    assert differences(found, recorded) == []


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ("loss 2.589", "loss 2.591"),
        ("loss 482", "loss 483.4"),  # the finer of the two printed digits counts
        ("N* 6.39e+08", "N* 6.39e+09"),
        ("N* 6.39e-08", "N* 6.39e+08"),
        ("share 97%", "share 99%"),
        ("share 97%", "share 97"),
        ("1,228 steps", "1,328 steps"),
        ("1,228 steps", "1.228 steps"),
        ("gain +0.012", "gain -0.012"),
        ("gain −0.012", "gain 0.012"),
        ("range 1-5", "range 1-7"),
        ("x nan", "x 0.0"),
        ("x 0.0", "x nan"),
        ("x inf", "x -inf"),
        ("x inf", "x nan"),
        ("shows yes", "shows no"),
        ("falls 75%   rises 0%", "rises 75%   falls 0%"),
        ("3 of 4", "3 of"),
        ("abnar2025", "abnar2026"),  # a digit in a name is not a measurement
        ("torch 2.13.0", "torch 2.13.1"),
        ("one\ntwo", "one"),
        ("one", "one\ntwo"),
    ],
)
def test_another_number_or_word_is_found(recorded: str, found: str) -> None:
    assert differences(found, recorded)


@pytest.mark.parametrize("coefficient", ABNAR2025.values)
def test_a_law_with_one_coefficient_changed_by_a_fiftieth_is_found(coefficient: str) -> None:
    values = {**ABNAR2025.values, coefficient: 1.02 * ABNAR2025.values[coefficient]}
    assert differences(printed(Law(ABNAR2025.form, values)), printed(ABNAR2025))


def printed(law: Law) -> str:
    """The terms of a law as the book prints them."""
    return "\n".join("".join(f"{term:9.3f}" for term in law.terms(n, 3e10, 0.95).values()) for n in (1e8, 1e9, 1e10))


def test_the_message_shows_both_lines_and_the_reason() -> None:
    assert differences("a 1.00\nb 2.05", "a 1.00\nb 2.00") == [
        "-b 2.00",
        "+b 2.05",
        "  2.00 became 2.05, more than 0.015 away",
    ]


def test_a_cell_may_name_a_tolerance_for_numbers_in_one_place() -> None:
    ends = Tolerance.of({"compare": {"units": 10, "inside": r"\(.*? to .*?\)", "because": "few resamples"}})
    assert differences("0.50 (0.37 to 0.61)", "0.50 (0.30 to 0.60)", ends) == []
    assert differences("0.50 (0.42 to 0.61)", "0.50 (0.30 to 0.60)", ends)
    assert differences("0.53 (0.30 to 0.60)", "0.50 (0.30 to 0.60)", ends)


def test_a_cell_of_counts_may_ask_for_equality() -> None:
    exact = Tolerance.of({"compare": {"units": 0, "because": "counts"}})
    assert differences("16 of 16", "16 of 16", exact) == []
    assert differences("15 of 16", "16 of 16", exact)


def test_a_cell_may_name_words_of_which_one_may_replace_another() -> None:
    either = Tolerance.of({"compare": {"either": ["yes", "undecided"], "because": "an end of the interval is at zero"}})
    assert differences("undecided +0.01", "yes        +0.01", either) == []
    assert differences("no +0.01", "yes +0.01", either)
    assert differences("yesterday +0.01", "undecided +0.01", either)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"units": 3}, "needs a reason"),
        ({"unit": 3, "because": "x"}, "allowed are units, inside, either, because"),
        (3, "has to be a mapping"),
    ],
)
def test_a_tolerance_without_reason_or_with_an_unknown_key_is_refused(named: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Tolerance.of({"compare": named})
