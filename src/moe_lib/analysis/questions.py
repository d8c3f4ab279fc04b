"""Right answers of one model with their errors, beside chance."""

from collections.abc import Iterable
from typing import Any

import pandas as pd


def answers(report: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The questions of an evaluation's `table` that have choices, with the 95 % interval of the share answered right.

    Columns question, n, accuracy, low and high (Wilson), untrained (accuracy before training) and chance. Questions
    without choices have no chance and are left out.
    """
    from scipy.stats import binomtest

    rows = []
    for row in report:
        if row["chance"]:
            share = binomtest(round(row["accuracy"] * row["n"]), row["n"]).proportion_ci(method="wilson")
            named = {name: row[name] for name in ("question", "n", "accuracy", "chance")}
            rows.append(named | {"low": share.low, "high": share.high, "untrained": row["untrained_accuracy"]})
    return pd.DataFrame(rows)
