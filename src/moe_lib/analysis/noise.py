"""How far apart runs are that differ only in their seed."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from moe_lib.errors import InputError
from moe_lib.ledger import Row


def seed_noise(table: pd.DataFrame, by: Sequence[str], loss: str = "L") -> float:
    """Standard deviation of the loss between runs that agree in `by`, pooled; no fit can do better than this."""
    groups = table.groupby(list(by))[loss]
    freedom = int((groups.size() - 1).sum())
    if freedom == 0:
        raise InputError(f"{', '.join(by)}: no two runs agree in these columns, so that the noise is not known")
    return float(np.sqrt(((groups.size() - 1) * groups.var(ddof=1).fillna(0)).sum() / freedom))


def seed_spread(rows: list[Row]) -> "pd.Series[float]":
    """Standard deviation of the loss between runs that differ only in their seed, pooled, by sparsity; nats."""
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "loss": row.get("loss"), "run": _unseeded(row)} for row in rows]
    )
    repeated = table.dropna(subset="loss").groupby("sparsity").filter(lambda own: own["run"].duplicated().any())
    return pd.Series({s: seed_noise(own, ["run"], "loss") for s, own in repeated.groupby("sparsity")})


def _unseeded(row: Row) -> str:
    config = row["config"]
    return json.dumps(config | {"training": config["training"] | {"seed": None}}, sort_keys=True)
