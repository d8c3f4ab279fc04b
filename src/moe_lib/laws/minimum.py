"""The lowest point of a polynomial, within reach of the data that it was fitted to."""

import numpy as np

from moe_lib.laws.basis import Array

REACH = 5.0  # e-folds beyond the grid at which a vertex is cut off, and marked as outside anyway


def lowest(polynomial: Array, limits: tuple[float, float]) -> tuple[float, str]:
    """Lowest stationary minimum within reach of the grid, and its place (`inside` or `outside`)."""
    if not np.any(polynomial[3:]) and (curve := float(polynomial[2]) if len(polynomial) > 2 else 0.0) > 0:
        at = -float(polynomial[1]) / (2 * curve)  # a parabola, which most are
        inside = limits[0] <= at <= limits[1]
        return (at, "inside") if inside else (float(np.clip(at, limits[0] - REACH, limits[1] + REACH)), "outside")
    p = np.polynomial.Polynomial(polynomial)
    roots = p.deriv().roots() if p.degree() > 1 else np.array([])
    real = np.real(roots[np.abs(np.imag(roots)) < 1e-9 * (1 + np.abs(roots))])
    low, high = limits
    for place, minima in (
        ("inside", [x for x in real if p.deriv(2)(x) > 0 and low <= x <= high]),
        ("outside", [float(np.clip(x, low - REACH, high + REACH)) for x in real if p.deriv(2)(x) > 0]),
        ("outside", [low, high]),
    ):
        if minima:
            return float(min(minima, key=p)), place
    raise AssertionError("the ends of the grid are always there")
