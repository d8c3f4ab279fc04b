"""Conditions on rows: a small language, never Python."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.conditions import rows_where
from moe_lib.errors import InputError

TABLE = pd.DataFrame({"N": [1e8, 1e9, 1e10], "S": [0.0, 0.5, 0.98], "run": ["a", "b", "c"]})
COLUMNS = {str(name): TABLE[name] for name in TABLE}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("N < 1e10", [0, 1]),
        ("S == 0.98", [2]),
        ("S != 0.98 and N >= 1e9", [1]),
        ("not N > 1e9", [0, 1]),
        ("1e8 < N <= 1e10", [1, 2]),
        ("run in ('a', 'c')", [0, 2]),
        ("run not in ['a']", [1, 2]),
        ("S in (0, 0.5)", [0, 1]),
        ("6 * N * (1 - S) > 2.9e9 or run == 'a'", [0, 1]),
        ("N / 1e9 == 1 or -S > -0.1", [0, 1]),
        ("N ** 2 > 1e19", [2]),
    ],
)
def test_a_condition_keeps_its_rows(text: str, rows: list[int]) -> None:
    assert list(np.flatnonzero(rows_where(COLUMNS, text))) == rows


def test_numbers_that_were_computed_count_as_equal() -> None:
    columns = {"S": pd.Series([1 - 1 / 50, 0.1 + 0.2])}
    assert list(rows_where(columns, "S == 0.98")) == [True, False]
    assert list(rows_where(columns, "S == 0.3")) == [False, True]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("C < 1e21", "'C' is not a column; there are N, S, run"),
        ("N", "'N' is not a comparison"),
        ("N <", "is not a condition"),
        ("__import__('os') == 1", "cannot be read"),
        ("N.real > 0", "cannot be read"),
        ("run < 3", "do not fit together"),
        ("N in S", "has to be a list"),
        ("N is S", "has to use"),
        ("9**9**9 > N", "do not fit together"),
        ("(N > 1) > (S > 1)", "cannot be read"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        rows_where(COLUMNS, text)
