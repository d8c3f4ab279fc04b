"""Does sparsity matter for a task once the upstream loss is equal? (Section 4 of the paper asks it by eye.)

The model is task ~ spline(loss) + sparsity, on the losses that every sparsity reaches. Errors are clustered by
configuration, and p-values are corrected over tasks by Holm. A large p-value is not evidence of no effect, so
equivalence is tested with a stated margin. AIC compares this model with the same one in log N_a and in tokens per
parameter, because either could explain an effect of sparsity.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.errors import InputError

SPLINE = "cr(loss, df={df}, constraints='center')"
TERMS = {
    "loss": "",
    "sparsity": " + sparsity",
    "n_params_active": " + log_n_params_active",
    "tokens_per_param": " + log_tokens_per_param",
}
COLUMNS = ("loss", "sparsity", "n_params", "n_params_active", "n_tokens", "configuration")


def common_support(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose loss is in the range that every sparsity covers; `InputError` if there is no such range."""
    by_sparsity = runs.groupby("sparsity")["loss"]
    low, high = by_sparsity.min().max(), by_sparsity.max().min()
    inside = runs[runs["loss"].between(low, high)]
    if runs["sparsity"].nunique() < 2 or inside["sparsity"].nunique() < 2:
        raise InputError(
            f"runs have no losses that at least two sparsities share (sparsities: {sorted(set(runs['sparsity']))})"
        )
    return inside


def transfer(runs: pd.DataFrame, tasks: Sequence[str], margin: float, spline_df: int = 3) -> pd.DataFrame:
    """One row per task: the effect of sparsity going from 0 to 1 at equal loss, in the task's unit.

    `runs` has the columns loss, sparsity, n_params, n_params_active, n_tokens, configuration and the tasks. `error` is
    the effect's standard error, with one degree of freedom less than configurations; `low` and `high` bound its 95 %
    interval; `p_holm` is corrected over the tasks; `equivalent` means that the effect is within +-`margin` (two
    one-sided tests at 5 %). Raises `InputError` for missing columns or too few runs.
    """
    from statsmodels.stats.multitest import multipletests

    missing = [name for name in (*COLUMNS, *tasks) if name not in runs.columns]
    if missing:
        raise InputError(f"runs lack the column {missing[0]}")
    if margin <= 0:
        raise InputError(f"margin = {margin} has to be above 0")
    inside = common_support(runs)
    rows = pd.DataFrame([_one_task(inside, task, margin, spline_df) for task in tasks])
    rows.insert(8, "p_holm", multipletests(rows["p_value"], method="holm")[1])
    return rows


def _one_task(runs: pd.DataFrame, task: str, margin: float, spline_df: int) -> dict[str, Any]:
    from scipy import stats

    data = runs.assign(
        task=runs[task],
        log_n_params_active=np.log(runs["n_params_active"]),
        log_tokens_per_param=np.log(runs["n_tokens"] / runs["n_params"]),
    ).dropna(subset=[task, *COLUMNS])
    n_clusters = data["configuration"].nunique()
    if n_clusters < spline_df + 3:
        raise InputError(f"{task}: has {n_clusters} configurations in the shared range; needs at least {spline_df + 3}")
    fits = {name: _fit(data, SPLINE.format(df=spline_df) + term) for name, term in TERMS.items()}
    effect, error = fits["sparsity"].params["sparsity"], fits["sparsity"].bse["sparsity"]
    student = stats.t(n_clusters - 1)
    half = float(student.ppf(0.975)) * error
    p_equivalence = max(student.sf((effect + margin) / error), student.cdf((effect - margin) / error))
    return {
        "task": task,
        "n_runs": len(data),
        "n_configurations": n_clusters,
        "effect": effect,
        "error": error,
        "low": effect - half,
        "high": effect + half,
        "p_value": 2 * float(student.sf(abs(effect) / error)),
        "margin": margin,
        "p_equivalence": float(p_equivalence),
        "equivalent": bool(p_equivalence < 0.05),
        **{f"aic_{name}": fit.aic for name, fit in fits.items()},
    }


def _fit(data: pd.DataFrame, terms: str) -> Any:
    import statsmodels.formula.api as formulas

    clusters = pd.factorize(data["configuration"])[0]
    return formulas.ols(f"task ~ {terms}", data).fit(cov_type="cluster", cov_kwds={"groups": clusters})
