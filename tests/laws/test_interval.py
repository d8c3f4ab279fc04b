"""Intervals of draws: their ends, and what infinite and missing draws do."""

import numpy as np

from moe_lib.laws.interval import interval


def test_the_ends_leave_out_equal_shares_of_the_draws() -> None:
    draws = np.random.default_rng(0).permutation(4001)
    assert interval(draws) == (100, 3900)
    assert interval(draws, level=0.5) == (1000, 3000)


def test_unbounded_draws_count_where_they_are_and_missing_ones_do_not() -> None:
    draws = np.array([np.nan, *range(90), *[np.inf] * 10])
    low, high = interval(draws, unbounded=True)
    assert (low, high) == (2, np.inf)
    assert np.isnan(interval(draws)).all()


def test_columns_are_taken_by_themselves() -> None:
    low, high = interval(np.stack([np.arange(101.0), np.arange(101.0) - 50], axis=1))
    assert np.allclose(low, [2.5, -47.5])
    assert np.allclose(high, [97.5, 47.5])
