"""How training begins: the steps until the loss leaves its first plateau."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from moe_lib.analysis.tuning import tuning_table
from moe_lib.ledger import Row

END = 4.5  # nats; below it a model has begun to use earlier tokens


def steps_above(row: Row, loss: float) -> int | None:
    """Steps that a run needs until its training loss (mean over a bin of its curve) falls below `loss`; None if it
    never does."""
    curve = row["curve"]
    return next((step for step, at in zip(curve["step"], curve["loss"], strict=True) if at < loss), None)


def plateau_table(rows: list[Row], end: float = END) -> pd.DataFrame:
    """The runs of `tuning_table` that did not diverge, with `n_steps`, `steps` above `end`, and these as a `share`.

    A run that stays above `end` has NaN steps and a share of 1.
    """
    table = tuning_table(rows).assign(
        n_steps=[row["n_steps"] for row in rows], steps=np.array([steps_above(row, end) for row in rows], dtype=float)
    )
    table = table.dropna(subset="loss")
    return table.assign(share=(table["steps"] / table["n_steps"]).fillna(1))


def plateau_by_size(begun: pd.DataFrame, least_rate: float, budgets: Sequence[float]) -> pd.DataFrame:
    """The steps above `end` of each size in a `plateau_table`, over its runs with rates from `least_rate`.

    Columns d_model, n_layers, n (runs), never (those that stayed above), the quantiles low, median and high (10, 50 and
    90 %), in which these count as infinite, and under each budget the median share of all its runs.
    """
    rows = []
    for (width, depth), same in begun.groupby(["d_model", "n_layers"]):
        steps = same.loc[same["learning_rate"] >= least_rate, "steps"]
        if len(steps):
            low, median, high = steps_quantiles(steps)
            shares = {flops: same.loc[same["flops"] == flops, "share"].median() for flops in budgets}
            size = {"d_model": width, "n_layers": depth, "n": len(steps), "never": int(steps.isna().sum())}
            rows.append(size | {"low": low, "median": median, "high": high} | shares)
    return pd.DataFrame(rows)


def steps_quantiles(steps: "pd.Series[float]") -> tuple[float, float, float]:
    """The 10, 50 and 90 % quantiles of steps; NaN, a run that never got there, counts as infinite."""
    low, median, high = steps.fillna(np.inf).quantile([0.1, 0.5, 0.9], interpolation="higher")
    return low, median, high


def curves_of(rows: list[Row], **asked: float) -> dict[float, dict[str, list[float]]]:
    """Training curve of each sparsity's run whose fields of `model` and `training` are as asked, e.g. `d_model=48`."""
    return {
        row["sparsity"]: row["curve"]
        for row in sorted(rows, key=lambda row: row["sparsity"])
        if asked.items() <= (row["config"]["model"] | row["config"]["training"]).items()
    }
