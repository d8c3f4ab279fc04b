"""The uncertainty of a fit: bootstrap refits, local standard errors, the condition of the problem.

The spread over starts of an optimiser is not a standard error; everything here resamples runs or linearises the law.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array
from moe_lib.laws.interval import interval
from moe_lib.laws.parametric import Law
from moe_lib.laws.solver import Fit, law_at, refit

PRECISION = 1e-6  # no loss is known better than this, however well a law fits it


@dataclass(frozen=True)
class Resamples:
    """Refits to resampled runs: internal parameters `[resamples, k + m]`, beside the `law` fitted to all `n` runs with
    `freedom` degrees of freedom."""

    law: Law
    x: Array
    n: int
    freedom: int

    @cached_property
    def laws(self) -> list[Law]:
        """The law of every resample."""
        return [law_at(self.law.form, x) for x in self.x]

    @property
    def table(self) -> pd.DataFrame:
        """Coefficients by their names in print, one row per resample."""
        return pd.DataFrame([law.values for law in self.laws])

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Percentile interval of each coefficient, widened for few degrees of freedom.

        Factors of powers are widened on a logarithmic scale, which keeps them positive.
        """
        table, found, form = self.table, {}, self.law.form
        multipliers = set(form.coefficients) - form.constants
        for name, value in self.law.values.items():
            draws = table[name].to_numpy(float)
            positive = name in multipliers and min(value, draws.min()) > 0
            there, back = (np.log, np.exp) if positive else (np.asarray, np.asarray)
            low, high = back(self.widened(there(draws), there(value), level))
            least, most = (0.0, np.inf) if name in form.coefficients else form.bounds.get(name, (-np.inf, np.inf))
            found[name] = float(max(low, least)), float(min(high, most))
        return found

    def predict(self, level: float = 0.95, **inputs: Any) -> tuple[Array, Array]:
        """Interval of the law's predicted loss at some inputs, without the noise of a single run."""
        losses = np.stack([law.loss(**inputs) for law in self.laws])
        low, high = self.widened(losses, self.law.loss(**inputs), level)
        return low, high

    def widened(self, draws: Array, estimate: Any, level: float) -> Array:
        """Ends `[2, ...]` of the percentile interval of draws `[resamples, ...]`, moved away from the estimate."""
        ends = np.stack(interval(draws, level))
        return np.asarray(ends + (widening(self.n, self.freedom, level) - 1) * (ends - np.clip(estimate, *ends)))


def widening(n: int, freedom: int, level: float = 0.95) -> float:
    """The factor by which a percentile interval is too narrow for few runs.

    A fit shrinks its residuals by sqrt((n - p) / n), and Student's t replaces the normal distribution.
    """
    return float(np.sqrt(n / freedom) * quantile(freedom, level) / norm.ppf((1 + level) / 2))


def quantile(freedom: int, level: float = 0.95) -> float:
    """How many standard errors an interval extends on either side: Student's t."""
    return float(t.ppf((1 + level) / 2, freedom))


def bootstrap(
    fitted: Fit,
    resamples: int,
    seed: int = 0,
    cluster: Iterable[Any] | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Resamples:
    """Refits to resampled runs, under the objective of the fit.

    Runs are drawn with replacement, whole clusters if `cluster` gives each run a label (runs of one configuration are
    correlated). The result does not depend on the number of `workers` (processes). `progress` is called with the number
    of refits done. `InputError` for a run without a label.
    """
    labels = np.arange(fitted.n) if cluster is None else pd.factorize(pd.Series(list(cluster)))[0]
    if labels.min() < 0:
        raise InputError(f"cluster: run {int(np.argmin(labels)) + 1} has no label, but every run needs one")
    groups = int(labels.max()) + 1
    draws = np.random.default_rng(seed).integers(0, groups, (resamples, groups))
    counts = [np.bincount(draw, minlength=groups).astype(np.float64)[labels] for draw in draws]
    found = []
    for x in _mapped(partial(refit, fitted), counts, workers):
        found.append(x)
        if progress is not None:
            progress(len(found))
    return Resamples(fitted.law, np.stack(found), fitted.n, fitted.freedom)


def _mapped(work: Callable[[Array], Array], items: list[Array], workers: int) -> Iterator[Array]:
    """The results in order, from processes if there are several."""
    if workers == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, items, chunksize=max(1, -(-len(items) // (8 * workers))))


def standard_errors(fitted: Fit) -> dict[str, float]:
    """Local standard errors of log coefficients and of exponents, by internal name; infinite if nothing constrains one.

    From the Jacobian at the optimum and the variance of an M-estimator, which an outlier moves little (Huber 1973);
    quick, but blind to curvature, so report bootstrap or profile instead. Zero for fixed parameters.
    """
    free = fitted.free
    rows = (fitted.problem.jacobian(fitted.x) * np.sqrt(fitted.problem.weights)[:, None])[:, free]
    scale = np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    _, values, directions = np.linalg.svd(rows / scale, full_matrices=False)
    with np.errstate(over="ignore", divide="ignore"):  # infinite
        variance = ((directions / np.maximum(values, 1e-12)[:, None]) ** 2).sum(axis=0) / scale**2
    square, slope = influence(fitted)
    spread = max(float(np.sqrt(square * fitted.n / fitted.freedom) / slope), PRECISION)
    errors = np.zeros(len(fitted.x))
    errors[free] = np.sqrt(variance) * spread
    form = fitted.law.form
    return dict(zip(form.coefficients + form.exponents, errors.tolist(), strict=True))


def influence(fitted: Fit) -> tuple[float, float]:
    """Mean of psi^2 and mean of psi' over the residuals, psi being the derivative of the penalty.

    If more than half of the residuals are beyond Huber's delta, and for least absolute deviations, psi' comes from the
    density of the residuals around zero, estimated from their inner half.
    """
    residuals, weights, objective = fitted.residuals, fitted.problem.weights, fitted.objective
    square = float(np.mean(weights * objective.psi(residuals) ** 2))
    if objective.penalty == "mse":
        return square, 2.0
    size, weights = np.abs(residuals), weights * objective.side(residuals)
    delta = objective.delta if objective.penalty == "huber" else 0.0
    width = max(float(np.median(size)), delta, 1e-300)
    within = float(np.average(size <= width, weights=weights))
    return square, within * (delta / width if objective.penalty == "huber" else 1 / width)


def condition_number(fitted: Fit) -> float:
    """Condition number of the Jacobian at the optimum, columns scaled to length one; 1 is best, 1e4 a warning."""
    jacobian = fitted.problem.jacobian(fitted.x)[:, fitted.free]
    norms = np.linalg.norm(jacobian, axis=0)
    return float(np.linalg.cond(jacobian / norms)) if np.all(norms > 0) else float("inf")
