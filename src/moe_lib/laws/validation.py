"""How well a form predicts runs that it was not fitted to: groups left out, random folds, rival forms."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Columns, Form, Mask
from moe_lib.laws.solver import Bounds, Fit, fit, law_at, refit


def leave_out(fitted: Fit, by: Iterable[Any]) -> pd.DataFrame:
    """Error on each group of runs by a fit to the others (leave one sparsity, one budget out; a column of labels).

    Columns left_out, n, rmse and bias of predicted minus observed log loss, and beyond (whether the group is the first
    or last label, so that it is extrapolated to). `InputError` if too few runs remain.
    """
    labels = np.asarray(list(by))
    levels = np.unique(labels)
    rows = []
    for level in levels:
        out = labels == level
        require_runs(fitted, out, f"{level}")
        rows.append({"left_out": level, **_summary(held_out_errors(fitted, out)), "beyond": level in levels[[0, -1]]})
    return pd.DataFrame(rows)


def grow(fitted: Fit, by: Iterable[float]) -> pd.DataFrame:
    """Error beyond a growing part of the runs: fit up to each value of `by`, predict at every larger one.

    Columns up_to, n_fitted, predicted (the value predicted at), distance (the ratio of the two), n, rmse and bias of
    predicted minus observed log loss. Values that leave too few runs to fit are skipped; `InputError` if all do.
    """
    values = np.asarray(list(by), dtype=np.float64)
    levels, rows = np.unique(values), []
    for last in levels[:-1]:
        out = values > last
        if np.sum(~out) < int(fitted.free.sum()):
            continue
        errors = held_out_errors(fitted, out)
        for level in levels[levels > last]:
            at = {"up_to": last, "n_fitted": int(np.sum(~out)), "predicted": level, "distance": level / last}
            rows.append({**at, **_summary(errors[values[out] == level])})
    if not rows:
        raise InputError(
            f"{len(levels)} values are too few to fit some and predict the others; nothing can be held out"
        )
    return pd.DataFrame(rows)


def require_runs(fitted: Fit, out: Mask, what: str) -> None:
    """Raise `InputError` if fewer runs than coefficients remain without those in `out`."""
    size = int(fitted.free.sum())
    if np.sum(~out) < size:
        raise InputError(f"{what}: without it {np.sum(~out)} runs remain, fewer than the {size} coefficients")


def _summary(errors: Array) -> dict[str, float]:
    return {"n": len(errors), "rmse": float(np.sqrt(np.mean(errors**2))), "bias": float(errors.mean())}


def held_out_errors(fitted: Fit, out: Mask) -> Array:
    """Log of predicted over observed for the runs in `out` (booleans), by a refit to the others."""
    law = law_at(fitted.law.form, refit(fitted, (~out).astype(np.float64)))
    predicted = law.loss(**{name: fitted.columns[name][out] for name in law.form.inputs})
    return np.asarray(np.log(predicted / fitted.columns[law.form.target][out]))


def compare(
    forms: Iterable[Form],
    columns: Columns,
    objective: str = "huber:1e-3",
    folds: int = 10,
    seed: int = 0,
    *,
    raw: bool = False,
    weights: Array | None = None,
    bounds: Mapping[str, Bounds] | None = None,
) -> pd.DataFrame:
    """Rival forms on the same runs, best cross-validation first.

    `raw` and `weights` are those of `fit`, and `bounds` those of single forms, by name.
    Columns law, coefficients (how many), aic (of normal errors of log loss, from a fit by `mse`), delta_aic, objective
    and cv_rmse (held-out log loss over random folds, refitted under `objective`).
    """
    rows = []
    for form in forms:
        within = (bounds or {}).get(form.name)
        squares = fit(form, columns, "mse", bounds=within, weights=weights)
        fitted = fit(form, columns, objective, raw=raw, bounds=within, weights=weights)
        fold = np.random.default_rng(seed).permutation(fitted.n) % folds
        errors = np.concatenate([held_out_errors(fitted, fold == k) for k in range(folds)])
        size = int(fitted.free.sum())
        rows.append(
            {
                "law": form.name,
                "coefficients": size,
                "objective": fitted.minimum,
                "aic": fitted.n * np.log(squares.minimum / fitted.n) + 2 * (size + 1),
                "cv_rmse": float(np.sqrt(np.mean(errors**2))),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(delta_aic=table["aic"] - table["aic"].min()).sort_values("cv_rmse", ignore_index=True)
