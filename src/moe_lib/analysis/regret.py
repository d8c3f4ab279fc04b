"""The regret of the rule for the peak learning rate: the extra loss from using it instead of the best rate.

Tables as in `peak_rate_fit`.
"""

import numpy as np
import pandas as pd

from moe_lib.analysis.peak_rate_fit import CELL, SharedCurvature
from moe_lib.laws.interval import interval
from moe_lib.sweeps.peak_rate import PeakRate

FARTHEST = 4.0  # runs farther than this factor from the rule are left out: there the loss is not a parabola


def regret(table: pd.DataFrame, rule: PeakRate) -> pd.DataFrame:
    """The regret of a rule at each budget and sparsity, in nats: its extra loss over the best rate.

    The best rate is the rule's rate times a factor that all sizes of one budget and sparsity share; all share one
    curvature. Columns flops, sparsity, n (runs), factor and regret, each with low and high, and curvature. The
    intervals hold 95 % of draws from the spread of the residuals, given that the best rate is within a factor of 4 of
    the rule, as all runs used are. `InputError` if the runs are too few, or if the fitted curvature is not positive.
    """
    runs = _near(table, rule)
    keys = ["flops", "sparsity"]
    group = runs.groupby(keys).ngroup().to_numpy()
    curve = SharedCurvature.fit(runs, runs["offset"].to_numpy(), np.eye(group.max(initial=0) + 1)[group])
    at, (curvatures, drawn) = curve.vertex, curve.drawn()
    drawn = np.where(np.abs(drawn) <= np.log(FARTHEST), drawn, np.nan)
    factor_low, factor_high = interval(np.exp(drawn), unbounded=True)
    low, high = interval(curvatures * drawn**2, unbounded=True)
    return (
        runs.groupby(keys, as_index=False)
        .agg(n=("loss", "size"))
        .assign(
            factor=np.exp(at),
            factor_low=factor_low,
            factor_high=factor_high,
            regret=curve.curvature * at**2,
            regret_low=low,
            regret_high=high,
            curvature=curve.curvature,
        )
    )


def rates_tried(table: pd.DataFrame, rule: PeakRate) -> pd.DataFrame:
    """The rule's rate beside the others that a cell tried, for cells that tried any.

    `table` has d_model and n_layers too. Columns d_model, n_layers, the cell's three, rate (the rule's), loss (its mean
    over seeds), n (seeds) and others (mean loss by rate).
    """
    keys, rows = ["d_model", "n_layers", *CELL], []
    for labels, own in table.groupby(keys):
        rate = rule(*own[CELL].to_numpy(float)[0])
        at_rule = own.loc[own["learning_rate"] == rate, "loss"]
        others = own[own["learning_rate"] != rate].groupby("learning_rate")["loss"].mean().to_dict()
        if len(at_rule) and others:
            found = {"rate": rate, "loss": at_rule.mean(), "n": len(at_rule), "others": others}
            rows.append(dict(zip(keys, labels, strict=True)) | found)
    return pd.DataFrame(rows)


def above_vertex(table: pd.DataFrame, rule: PeakRate) -> pd.DataFrame:
    """The runs that `regret` uses, for a picture of it.

    `offset` is the log of the rate over the rule's; `above` is the loss above the fitted minimum of the run's cell.
    """
    keys = ["flops", "sparsity"]
    runs = _near(table, rule).merge(regret(table, rule)[[*keys, "factor", "curvature"]], on=keys)
    lowered = runs["loss"] - runs["curvature"] * (runs["offset"] - np.log(runs["factor"])) ** 2
    level = lowered.groupby([runs[name] for name in CELL]).transform("mean")
    return runs.drop(columns=["factor", "curvature"]).assign(above=runs["loss"] - level)


def _near(table: pd.DataFrame, rule: PeakRate) -> pd.DataFrame:
    """Runs that did not diverge, at rates within FARTHEST of the rule, with their `offset`.

    A cell with a single rate does not constrain the best rate and is left out.
    """
    runs = table.dropna(subset="loss")
    ruled = [rule(*cell) for cell in runs[CELL].to_numpy()]
    runs = runs.assign(offset=np.log(runs["learning_rate"].to_numpy() / ruled))
    runs = runs[runs["offset"].abs() <= np.log(FARTHEST) * 1.01]  # rates have two digits
    several = runs.groupby(CELL)["learning_rate"].transform("nunique") > 1
    return pd.DataFrame(runs[several])
