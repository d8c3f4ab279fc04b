"""The lowest point of a polynomial, within reach of the data that it was fitted to."""

import numpy as np

from moe_lib.laws.basis import Array

REACH = 5.0  # e-folds beyond the grid at which a vertex is cut off, and marked as outside anyway


def lowest(polynomial: Array, limits: tuple[float, float]) -> tuple[float, str]:
    """Lowest stationary minimum within reach of the grid, and its place (`inside` or `outside`)."""
    low, high = limits
    p = np.trim_zeros(np.asarray(polynomial, dtype=np.float64), "b")
    degrees = np.arange(len(p))
    slope, bend = (degrees * p)[1:], (degrees * (degrees - 1) * p)[2:]
    if len(slope) == 2:  # a parabola
        real = [-slope[0] / slope[1]]
    else:
        roots = np.roots(slope[::-1])
        real = np.real(roots[np.abs(np.imag(roots)) < 1e-9 * (1 + np.abs(roots))]).tolist()
    stationary = [float(x) for x in real if np.polyval(bend[::-1], x) > 0]
    for place, minima in (
        ("inside", [x for x in stationary if low <= x <= high]),
        ("outside", [min(max(x, low - REACH), high + REACH) for x in stationary]),
        ("outside", [low, high]),
    ):
        if minima:
            return min(minima, key=lambda x: float(np.polyval(p[::-1], x))), place
    raise AssertionError("the ends of the grid are always there")
