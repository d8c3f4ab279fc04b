"""Seed noise: the spread of losses between runs that differ only in their seed."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import chi2

from moe_lib.errors import InputError
from moe_lib.ledger import Row

CELL = ["C", "S", "shape"]


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
    """The `isoflop_runs` whose cell (C, S, shape) has several seeds, with their loss `above` the cell's mean."""
    cell = runs.groupby(CELL)["L"]
    return runs.assign(above=runs["L"] - cell.transform("mean"))[cell.transform("size") > 1]


def noise_interval(spread: float, repeated: pd.DataFrame) -> tuple[float, float]:
    """The 95 % interval of a standard deviation that was pooled over `repeated_cells`."""
    freedom = len(repeated) - repeated.groupby(CELL).ngroups
    low, high = (spread * float(freedom / chi2.ppf(p, freedom)) ** 0.5 for p in (0.975, 0.025))
    return low, high


def noise_by_size(runs: pd.DataFrame) -> pd.DataFrame:
    """The seed noise of each size at each budget, pooled over its sparsities, in nats.

    Columns C, shape, Na, cells, runs (those with several seeds), noise, and low and high, its 95 % interval; smallest
    size first. `InputError` if no cell has several seeds.
    """
    repeated = repeated_cells(runs)
    if repeated.empty:
        raise InputError("no cell has several seeds, so the seed noise cannot be estimated")
    rows = []
    for (flops, shape), own in repeated.groupby(["C", "shape"]):
        noise = seed_noise(own, CELL)
        low, high = noise_interval(noise, own)
        found = {"C": flops, "shape": shape, "Na": own["Na"].mean(), "cells": own.groupby(CELL).ngroups}
        rows.append(found | {"runs": len(own), "noise": noise, "low": low, "high": high})
    return pd.DataFrame(rows).sort_values(["C", "Na"], ignore_index=True)


def noise_of(cells: pd.DataFrame, by_size: pd.DataFrame) -> "pd.Series[float]":
    """The seed noise of one run of each cell: that of the nearest size (in log N_a) in `noise_by_size`.

    Sizes of the cell's own budget count first, then those of all others.
    """
    known = by_size["C"].to_numpy(), np.log(by_size["Na"].to_numpy(float)), by_size["noise"].to_numpy(float)
    found = []
    for flops, active in cells[["C", "Na"]].to_numpy(float):
        budget, size, noise = known
        distance = abs(size - np.log(active)) + np.where(budget == flops, 0, 1e3)
        found.append(noise[distance.argmin()])
    return pd.Series(found, cells.index, dtype=float)
