"""How sure a fit is: bootstrap, profiles, identifiability, held-out errors, rivals.

The spread over starts of an optimiser is no standard error; everything here resamples or leaves out runs.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Columns, Form
from moe_lib.laws.parametric import Law
from moe_lib.laws.solver import Fit, fit, law_at, polish, refit, revived

PRINTED = {"log_q": "E_start", "log_m": "E_max"}  # internal names of the saturation and what they mostly move
PRECISION = 1e-6  # no loss is known better than this, however well a law goes through it
FACTOR = 10.0  # a coefficient known only within this factor either way is called not identified


@dataclass(frozen=True)
class Resamples:
    """Refits to resampled runs: internal parameters `[resamples, k + m]` of a form."""

    form: Form
    x: Array

    @cached_property
    def laws(self) -> list[Law]:
        """The law of every resample."""
        return [law_at(self.form, x) for x in self.x]

    @property
    def table(self) -> pd.DataFrame:
        """Coefficients by their names in print, a row a resample."""
        return pd.DataFrame([law.values for law in self.laws])

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Percentile interval of each coefficient."""
        ends = self.table.quantile([(1 - level) / 2, (1 + level) / 2])
        return {str(name): (float(ends[name].iloc[0]), float(ends[name].iloc[1])) for name in ends}

    def predict(self, level: float = 0.95, **inputs: Any) -> tuple[Array, Array]:
        """Percentiles of the predicted loss at some inputs."""
        losses = np.stack([law.loss(**inputs) for law in self.laws])
        low, high = np.quantile(losses, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high


def bootstrap(
    fitted: Fit, resamples: int, seed: int = 0, cluster: Iterable[Any] | None = None, workers: int = 1
) -> Resamples:
    """Refits to resampled runs, under the objective of the fit.

    Runs are drawn with replacement, whole clusters where `cluster` gives each run a label (runs of one configuration
    share their luck). The result does not depend on the number of `workers` (processes). `InputError` for a run without
    a label.
    """
    labels = np.arange(fitted.n) if cluster is None else pd.factorize(pd.Series(list(cluster)))[0]
    if labels.min() < 0:
        raise InputError(f"cluster: run {int(np.argmin(labels)) + 1} has no label, and every run has to have one")
    groups = int(labels.max()) + 1
    draws = np.random.default_rng(seed).integers(0, groups, (resamples, groups))
    counts = [np.bincount(draw, minlength=groups).astype(np.float64)[labels] for draw in draws]
    if workers == 1:
        return Resamples(fitted.law.form, np.stack([refit(fitted, weights) for weights in counts]))
    with ProcessPoolExecutor(workers) as pool:
        found = pool.map(partial(refit, fitted), counts, chunksize=-(-resamples // (4 * workers)))
        return Resamples(fitted.law.form, np.stack(list(found)))


def standard_errors(fitted: Fit) -> dict[str, float]:
    """Local standard errors of log coefficients and of exponents, by internal name; infinite where nothing holds one.

    From the Jacobian at the optimum and the mean square residual: quick, and blind to curvature; bootstrap and profile
    are the ones to print.
    """
    jacobian, residuals = fitted.problem.jacobian(fitted.x), fitted.residuals
    freedom = max(fitted.n - jacobian.shape[1], 1)
    scale = np.maximum(np.linalg.norm(jacobian, axis=0), 1e-300)
    _, values, directions = np.linalg.svd(jacobian / scale, full_matrices=False)
    variance = ((directions / np.maximum(values, 1e-12)[:, None]) ** 2).sum(axis=0) / scale**2
    form = fitted.law.form
    return dict(
        zip(
            form.coefficients + form.exponents,
            np.sqrt(variance * max((residuals @ residuals) / freedom, PRECISION**2)).tolist(),
            strict=True,
        )
    )


def condition_number(fitted: Fit) -> float:
    """Of the Jacobian at the optimum with its columns scaled to length one; 1 is perfect, 1e4 and more is a warning."""
    jacobian = fitted.problem.jacobian(fitted.x)
    norms = np.linalg.norm(jacobian, axis=0)
    return float(np.linalg.cond(jacobian / norms)) if np.all(norms > 0) else float("inf")


def not_identified(fitted: Fit, resamples: Resamples | None = None) -> dict[str, str]:
    """Coefficients that the runs do not pin down, by their names in print, each with the reason.

    A coefficient is named where its 95 % interval spans more than a factor of ten either way, an exponent where the
    interval reaches zero, so that its term cannot be told from another one. Both the local interval of
    `standard_errors` and that of bootstrap refits are asked, since refits to resampled runs may all stay on one ridge.
    """
    form, found = fitted.law.form, {}
    half = 1.96 * np.array(list(standard_errors(fitted).values()))
    ends = [(fitted.x - half, fitted.x + half)]
    if resamples is not None:
        ends.append(tuple(np.quantile(resamples.x, [0.025, 0.975], axis=0)))
    for low, high in ends:
        for name, left, right in zip(form.coefficients + form.exponents, low, high, strict=True):
            if name in form.coefficients or name in PRINTED:
                if right - left > 2 * np.log(FACTOR):
                    found[PRINTED.get(name, name)] = f"these runs fix it only within a factor of {FACTOR:g} or worse"
            elif left <= 0 <= right:
                found[name] = "these runs cannot tell it from 0"
    return found


def profile(fitted: Fit, exponent: str, points: int = 25, level: float = 0.95) -> pd.DataFrame:
    """Objective minimised over everything but one exponent, along that exponent.

    Columns: the exponent, objective, statistic, and inside (statistic below the chi-square quantile of `level`). The
    statistic is 2 (sum rho - least sum rho) mean psi' / mean psi^2, the likelihood ratio of M-estimators
    (Schrader & Hettmansperger 1980), which for `mse` is that of normal errors. The range spreads over five local
    standard errors (at most 1) either side, denser near the optimum; the interval is open where its end is inside.
    """
    form = fitted.law.form
    if exponent not in form.exponents:
        raise InputError(f"exponent = {exponent!r} has to be one of {', '.join(form.exponents)}")
    at = len(form.coefficients) + form.exponents.index(exponent)
    free = np.arange(len(fitted.x)) != at
    reach = min(5 * standard_errors(fitted)[exponent], 1.0)
    problem, rows = fitted.problem, []
    for side in (-1.0, 1.0):
        x = fitted.x
        for step in side * reach * np.linspace(0, 1, points // 2 + 1)[1 if side > 0 else 0 :] ** 2:
            x = x.copy()
            x[at] = fitted.x[at] + step
            starts = (x, *revived(problem, x))
            x = min((polish(problem, start, free) for start in starts), key=problem.value)
            rows.append({exponent: x[at], "objective": problem.value(x)})
    table = pd.DataFrame(rows).sort_values(exponent, ignore_index=True)
    statistic = (table["objective"] - fitted.objective) * _ratio_scale(fitted)
    return table.assign(statistic=statistic, inside=statistic <= chi2.ppf(level, 1))


def _ratio_scale(fitted: Fit) -> float:
    residuals, kind = fitted.residuals, fitted.kind
    share = 1 - len(fitted.x) / fitted.n
    if kind.kind == "mse":
        return float(share * fitted.n / (residuals @ residuals))
    if kind.kind == "lad":  # psi' is twice the density at zero, from the middle half of the residuals
        quarter = np.quantile(np.abs(residuals), 0.5)
        return float(2 * share * 0.5 / quarter)
    within = np.mean(np.abs(residuals) <= kind.delta)
    return float(2 * share * within / np.mean(kind.psi(residuals) ** 2))


def leave_out(fitted: Fit, by: Iterable[Any]) -> pd.DataFrame:
    """Error on each group of runs by a fit to the others (leave one sparsity, one budget out; a column of labels).

    Columns left_out, n, rmse and bias of predicted minus observed log loss, and beyond (whether the group is the
    first or last label, so that it is extrapolated to). `InputError` where too few runs stay.
    """
    labels = np.asarray(list(by))
    levels = np.unique(labels)
    rows = []
    for level in levels:
        out = labels == level
        if np.sum(~out) < len(fitted.x):
            raise InputError(
                f"{level}: without it {np.sum(~out)} runs stay, fewer than the {len(fitted.x)} coefficients"
            )
        error = held_out_errors(fitted, out)
        rows.append(
            {
                "left_out": level,
                "n": int(out.sum()),
                "rmse": float(np.sqrt(np.mean(error**2))),
                "bias": float(error.mean()),
                "beyond": level in (levels[0], levels[-1]),
            }
        )
    return pd.DataFrame(rows)


def held_out_errors(fitted: Fit, out: Any) -> Array:
    """Log of predicted over observed for the runs in `out` (booleans), by a refit to the others."""
    law = law_at(fitted.law.form, refit(fitted, (~out).astype(np.float64)))
    predicted = law.loss(**{name: fitted.columns[name][out] for name in law.form.inputs})
    return np.asarray(np.log(predicted / fitted.columns[law.form.target][out]))


def compare(
    forms: Iterable[Form], columns: Columns, objective: str = "huber:1e-3", folds: int = 10, seed: int = 0
) -> pd.DataFrame:
    """Rival forms on the same runs, best cross-validation first.

    Columns law, coefficients (how many), aic (of normal errors of log loss, from a fit by `mse`), delta_aic, objective
    and cv_rmse (held-out log loss over random folds, refitted under `objective`).
    """
    rows = []
    for form in forms:
        squares, fitted = fit(form, columns, "mse"), fit(form, columns, objective)
        fold = np.random.default_rng(seed).permutation(fitted.n) % folds
        errors = np.concatenate([held_out_errors(fitted, fold == k) for k in range(folds)])
        size = len(fitted.x)
        rows.append(
            {
                "law": form.name,
                "coefficients": size,
                "objective": fitted.objective,
                "aic": fitted.n * np.log(squares.objective / fitted.n) + 2 * (size + 1),
                "cv_rmse": float(np.sqrt(np.mean(errors**2))),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(delta_aic=table["aic"] - table["aic"].min()).sort_values("cv_rmse", ignore_index=True)
