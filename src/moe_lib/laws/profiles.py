"""Profiles: the objective minimised over everything but one exponent, along that exponent."""

import numpy as np
import pandas as pd
from scipy.stats import chi2

from moe_lib.errors import InputError
from moe_lib.laws.polish import polish
from moe_lib.laws.solver import Fit, revived
from moe_lib.laws.uncertainty import influence, standard_errors

PROFILE_REACH = 1.0  # farthest point of a profile from the fit


def profile(fitted: Fit, exponent: str, points: int = 25, level: float = 0.95) -> pd.DataFrame:
    """Objective minimised over everything but one exponent, along that exponent.

    Columns: the exponent, objective, statistic, and inside (statistic below the chi-square quantile of `level`). The
    statistic is 2 (sum rho - least sum rho) mean psi' / mean psi^2, the likelihood ratio of M-estimators (Schrader &
    Hettmansperger 1980), which for `mse` is that of normal errors. The range spreads over five local standard errors
    (at most 1) either side and within the bounds of the search, denser near the optimum; the interval is open on a side
    whose end is inside. `InputError` for a name that is not an exponent that was searched for.
    """
    form = fitted.law.form
    free = dict(zip(fitted.parameters, fitted.free, strict=True))
    if exponent not in form.exponents or not free[exponent]:
        allowed = ", ".join(name for name in form.exponents if free[name])
        raise InputError(f"exponent = {exponent!r} has to be one of {allowed}")
    at = len(form.coefficients) + form.exponents.index(exponent)
    others = np.arange(len(fitted.x)) != at
    reach = min(5 * standard_errors(fitted)[exponent], PROFILE_REACH)
    problem, rows = fitted.problem, []
    low, high = problem.ends[:, at]
    for side in (-1.0, 1.0):
        x = fitted.x
        for step in side * reach * np.linspace(0, 1, points // 2 + 1)[1 if side > 0 else 0 :] ** 2:
            x = x.copy()
            x[at] = fitted.x[at] + step
            if not low <= x[at] <= high:
                break
            starts = (x, *revived(problem, x))
            found = min((polish(problem, start, others) for start in starts), key=lambda one: one.minimum)
            x = found.x
            rows.append({exponent: x[at], "objective": found.minimum})
    table = pd.DataFrame(rows).sort_values(exponent, ignore_index=True)
    square, slope = influence(fitted)
    scale = 2 * (fitted.freedom / fitted.n) * slope / square
    statistic = (table["objective"] - fitted.minimum) * scale
    return table.assign(statistic=statistic, inside=statistic <= chi2.ppf(level, 1))


def interval(curve: pd.DataFrame, exponent: str, level: float = 0.95) -> tuple[float | None, float | None]:
    """Ends of the profile interval; None if the profile ends before it leaves the interval.

    Between two values of the exponent the root of the statistic, which is straight for a parabola, is interpolated.
    """
    values = curve[exponent].to_numpy(float)
    beyond = np.sqrt(np.maximum(curve["statistic"].to_numpy(float), 0)) - np.sqrt(chi2.ppf(level, 1))
    inside = np.flatnonzero(beyond <= 0)

    def end(within: int, outside: int) -> float | None:
        if not 0 <= outside < len(values):
            return None
        return float(np.interp(0, beyond[[within, outside]], values[[within, outside]]))

    return end(inside[0], inside[0] - 1), end(inside[-1], inside[-1] + 1)
