"""Percentile intervals of draws: of bootstrap refits, of noise about a fit, of a distribution of coefficients."""

from typing import Any

import numpy as np

from moe_lib.laws.basis import Array

LEVEL = 0.95


def interval(draws: Any, level: float = LEVEL, *, unbounded: bool = False) -> tuple[Array, Array]:
    """Low and high end of the middle `level` of draws, along their first axis; between draws, ends are interpolated.

    With `unbounded`, draws may be infinite, or NaN if they are not to count: each end is then one of the draws.
    """
    tail = round((1 - level) / 2, 12)
    if unbounded:
        low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0, method="inverted_cdf")
    else:
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)
