"""Tuning runs as a table, the best of them, and what one change or the seed alone does to the loss.

A cell is what is tuned for: one model at one budget.
"""

import json
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.laws.isoflop import seed_noise
from moe_lib.sweeps.peak_rate import CELL


def tuning_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The ledger's rows as tuning runs; a run that diverged has the loss NaN, and keeps its place."""
    return pd.DataFrame(
        [
            {
                **{name: row["config"]["model"][name] for name in ("d_model", "n_layers")},
                **{name: row[name] for name in ("n_params_active", "sparsity")},
                **{name: row["config"]["training"][name] for name in ("flops", "batch_size", "learning_rate")},
                "loss": row.get("loss", np.nan),
            }
            for row in rows
        ]
    )


def seed_means(table: pd.DataFrame) -> pd.DataFrame:
    """A row for runs that differ in their seed alone, with their mean loss."""
    return table.groupby([name for name in table if name != "loss"], sort=False, as_index=False).mean()


def best_rates(table: pd.DataFrame) -> pd.DataFrame:
    """For each cell and batch the learning rate with the lowest loss, by a parabola through the lowest run and its
    neighbours in log rate.

    Columns: those of a run, `learning_rate` and `loss` at the vertex, `lowest` (the lowest loss seen), and `bracketed`,
    False where the lowest run lies at the end of the rates tried: then it is given as it is.
    """
    return pd.DataFrame([_vertex(runs) for _, runs in table.groupby([*CELL, "batch_size"], sort=False)])


def _vertex(runs: pd.DataFrame) -> dict[Hashable, Any]:
    runs = runs.sort_values("learning_rate", ignore_index=True)
    at = int(np.nanargmin(runs["loss"]))
    best: dict[Hashable, Any] = {name: runs[name].iloc[at] for name in runs}
    best |= {"lowest": best["loss"], "bracketed": False}
    three = runs.loc[at - 1 : at + 1]
    if len(three) == 3 and three["loss"].notna().all():
        curve = np.polynomial.Polynomial.fit(np.log(three["learning_rate"]), three["loss"], 2)
        vertex = float(curve.deriv().roots()[0].real)
        best |= {"learning_rate": np.exp(vertex), "loss": float(curve(vertex)), "bracketed": True}
    return best


def one_change(rows: list[dict[str, Any]], base: dict[str, Any]) -> pd.DataFrame:
    """Runs that differ from a base in one field and, it may be, the seed: what the field changes in the loss.

    `base` has the fields that are compared, by path (`training.router_rate`). Columns sparsity, change (empty for the
    base itself), n (seeds), loss (their mean) and difference to the base of the same sparsity, in nats.
    """
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "change": change(row["config"], base), "loss": row.get("loss")} for row in rows]
    ).dropna(subset="change")
    means = table.groupby(["sparsity", "change"], sort=False)["loss"].agg(["size", "mean"]).reset_index()
    means = means.rename(columns={"size": "n", "mean": "loss"})
    start = means[means["change"] == ""].set_index("sparsity")["loss"]
    return means.assign(difference=means["loss"] - means["sparsity"].map(start))


def change(config: dict[str, Any], base: dict[str, Any]) -> str | None:
    """The field in which a run's configuration differs from the base; empty where none does, None where several do."""
    fields = ((path, config[path.split(".")[0]].get(path.split(".")[1])) for path in base)
    changed = [f"{path.split('.')[1]} = {value:g}" for path, value in fields if value not in (None, base[path])]
    return None if len(changed) > 1 else "".join(changed)


def seed_spread(rows: list[dict[str, Any]]) -> "pd.Series[float]":
    """Standard deviation of the loss between runs that differ only in their seed, pooled, by sparsity; nats."""
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "loss": row.get("loss"), "run": _unseeded(row)} for row in rows]
    )
    repeated = table.dropna(subset="loss").groupby("sparsity").filter(lambda own: own["run"].duplicated().any())
    return pd.Series({s: seed_noise(own, ["run"], "loss") for s, own in repeated.groupby("sparsity")})


def _unseeded(row: dict[str, Any]) -> str:
    config = row["config"]
    return json.dumps(config | {"training": config["training"] | {"seed": None}}, sort_keys=True)
