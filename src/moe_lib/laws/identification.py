"""What a fit identifies: intervals from both sides, from one side only, or none, each with the reason.

Both the local interval of `standard_errors` and that of bootstrap refits are used, since refits to resampled runs may
all stay on one ridge.
"""

from typing import NamedTuple

import numpy as np

from moe_lib.laws.basis import Array
from moe_lib.laws.objective import EXPONENT_RANGE
from moe_lib.laws.solver import LARGEST_LOG, Fit
from moe_lib.laws.uncertainty import Resamples, quantile, standard_errors

LOGARITHMS = ("log_q", "log_m")  # exponents that are logarithms of a count
FACTOR = 10.0  # a side of a coefficient's interval further away than this factor counts as unknown
TRIVIAL = 0.95  # of the lowest loss: the losses themselves bound the constant as well as a limit above it would


class Known(NamedTuple):
    """Which ends of a parameter's interval the runs identify, and why the others are open."""

    low: bool
    high: bool
    reason: str = ""


def known_sides(fitted: Fit, resamples: Resamples | None = None, level: float = 0.95) -> dict[str, Known]:
    """For every parameter that was searched for, by its name in print.

    A side of a coefficient is known if its interval ends within a factor of ten of the estimate. The upper side of a
    constant is known if it ends below the losses. An exponent whose interval reaches zero has no term of its own; if a
    search keeps it from changing its sign, its far end is still known. Exponents of dropped terms, and those at a bound
    of the search, have no known side.
    """
    form, x = fitted.law.form, fitted.x
    half = quantile(fitted.freedom, level) * np.array(list(standard_errors(fitted).values()))
    lows, highs = x - half, x + half
    if resamples is not None:
        ends = resamples.widened(resamples.x, x, level)
        lows, highs = np.minimum(lows, ends[0]), np.maximum(highs, ends[1])
    k, idle, found = len(form.coefficients), idle_terms(fitted), {}
    acts_on = np.asarray(fitted.problem.basis.jacobian(x[k:]).any(axis=2))  # [m, k]
    for i, name in enumerate(fitted.parameters):
        if not fitted.free[i]:
            continue
        terms = [form.coefficients[term] for term in ([i] if i < k else np.flatnonzero(acts_on[i - k]))]
        if name in form.constants:
            found[name] = _of_constant(i, half[i], fitted, resamples, level)
        elif terms and set(terms) <= idle:
            found[name] = Known(False, False, f"its term, that of {terms[0]}, adds nothing and was dropped")
        elif i >= k and x[i] in fitted.problem.ends[:, i]:
            found[name] = Known(False, False, f"the search ended at {x[i]:g}, its bound")
        elif i < k or name in LOGARITHMS:
            found[name] = _sided(x[i] - lows[i] <= np.log(FACTOR), highs[i] - x[i] <= np.log(FACTOR))
        else:
            found[name] = _of_exponent(lows[i], highs[i], fitted.problem.ends[:, i])
    return {form.printed.get(name, name): known for name, known in found.items()}


def not_identified(fitted: Fit, resamples: Resamples | None = None, level: float = 0.95) -> dict[str, str]:
    """Parameters of which the runs identify no side, by their names in print, each with the reason."""
    return {
        name: known.reason
        for name, known in known_sides(fitted, resamples, level).items()
        if not (known.low or known.high)
    }


def idle_terms(fitted: Fit) -> set[str]:
    """Coefficients of zero, whose terms were dropped."""
    form = fitted.law.form
    return {name for name, x in zip(form.coefficients, fitted.x, strict=False) if x <= -LARGEST_LOG}


def _of_constant(i: int, half: float, fitted: Fit, resamples: Resamples | None, level: float) -> Known:
    """What is known of a constant, whose interval is symmetric in the constant itself, even around zero."""
    term = float(
        np.exp(np.clip(fitted.x[i], *EXPONENT_RANGE))
    )  # the value at which the standard error of its logarithm was computed
    value = 0.0 if fitted.law.form.coefficients[i] in idle_terms(fitted) else term
    lows, highs = [value - half * term], [value + half * term]
    if resamples is not None:
        low, high = resamples.widened(np.exp(resamples.x[:, i]), value, level)
        lows.append(low)
        highs.append(high)
    ceiling = TRIVIAL * float(fitted.problem.observed.min())
    return _sided(value > 0 and min(lows) >= value / FACTOR, max(highs) < ceiling)


def _of_exponent(low: float, high: float, bounds: Array) -> Known:
    if low > 0 or high < 0:
        return Known(True, True)
    above, below = bounds[0] == 0 and high < bounds[1], bounds[1] == 0 and low > bounds[0]
    return _sided(bool(below), bool(above), "these runs cannot distinguish it from 0")


def _sided(low: bool, high: bool, otherwise: str = f"these runs do not fix it within a factor of {FACTOR:g}") -> Known:
    """Which sides are known, with the reason in words."""
    if low and high:
        return Known(True, True)
    if not (low or high):
        return Known(False, False, otherwise)
    return Known(bool(low), bool(high), f"these runs bound it only from {'below' if low else 'above'}")
