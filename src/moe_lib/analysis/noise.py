"""Seed noise: the spread of losses between runs that differ only in their seed."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import chi2

from moe_lib.errors import InputError
from moe_lib.ledger import Row


def seed_noise(table: pd.DataFrame, by: Sequence[str], loss: str = "L") -> float:
    """Pooled standard deviation of the loss between runs that agree in `by`; no fit can predict better than this."""
    groups = table.groupby(list(by))[loss]
    freedom = int((groups.size() - 1).sum())
    if freedom == 0:
        raise InputError(f"{', '.join(by)}: no two runs agree in these columns, so the seed noise cannot be estimated")
    return float(np.sqrt(((groups.size() - 1) * groups.var(ddof=1).fillna(0)).sum() / freedom))


def seed_spread(rows: list[Row]) -> "pd.Series[float]":
    """Pooled standard deviation of the loss between runs that differ only in their seed, by sparsity; nats."""
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "loss": row.get("loss"), "run": _unseeded(row)} for row in rows]
    )
    repeated = table.dropna(subset="loss").groupby("sparsity").filter(lambda own: own["run"].duplicated().any())
    return pd.Series({s: seed_noise(own, ["run"], "loss") for s, own in repeated.groupby("sparsity")})


def _unseeded(row: Row) -> str:
    config = row["config"]
    return json.dumps(config | {"training": config["training"] | {"seed": None}}, sort_keys=True)


def repeated_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of `isoflop_runs` whose cell (S, shape) has several seeds, with their loss `above` the cell's mean."""
    cell = runs.groupby(["S", "shape"])["L"]
    return runs.assign(above=runs["L"] - cell.transform("mean"))[cell.transform("size") > 1]


def noise_interval(spread: float, repeated: pd.DataFrame) -> tuple[float, float]:
    """The 95 % interval of a standard deviation that was pooled over `repeated_cells`."""
    freedom = len(repeated) - repeated.groupby(["S", "shape"]).ngroups
    low, high = (spread * float(freedom / chi2.ppf(p, freedom)) ** 0.5 for p in (0.975, 0.025))
    return low, high
