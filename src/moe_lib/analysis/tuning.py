"""Tuning runs as a table, and the effect of one change on their loss."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.ledger import Row
from moe_lib.sweeps.peak_rate import PeakRate

# What all comparisons share: the paper's settings as far as it has them.
BASE: dict[str, Any] = {
    "training.learning_rate": 0.01,
    "training.batch_size": 4,
    "training.warmup_fraction": 0.05,
    "training.load_balance_weight": 0.02,
    "training.router_rate": 1.0,
    "training.expert_spread": 1.0,
    "model.d_model": 48,
    "model.scaled_gates": False,
}
FREE = ("training.learning_rate", "training.batch_size", "model.d_model")
WORDS = {
    "": "the base",
    "expert_spread": "experts' own part of their start",
    "scaled_gates": "gates summing to one at the start",
    "router_rate": "router's rate over the common",
    "load_balance_weight": "weight of load balancing",
    "warmup_fraction": "warm-up",
    "learning_rate": "peak learning rate",
    "batch_size": "sequences a step",
}
NEAR = 1.6  # a rate within this factor of the rule's counts as the rule's


def tuning_table(rows: list[Row]) -> pd.DataFrame:
    """Ledger rows as a table of tuning runs; a run that diverged has the loss NaN."""
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
    """One row for all runs that differ only in their seed, with their mean loss."""
    return table.groupby([name for name in table if name != "loss"], sort=False, as_index=False).mean()


def one_change(rows: list[Row], base: dict[str, Any]) -> pd.DataFrame:
    """Effect on the loss of changing one field of a base; runs may also differ in their seed.

    `base` has the compared fields by path (`training.router_rate`). Columns sparsity, change (empty for the base
    itself), n (seeds), loss (their mean) and difference to the base of the same sparsity, in nats.
    """
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "change": change(row["config"], base), "loss": row.get("loss")} for row in rows]
    ).dropna(subset="change")
    means = table.groupby(["sparsity", "change"], sort=False)["loss"].agg(["size", "mean"]).reset_index()
    means = means.rename(columns={"size": "n", "mean": "loss"})
    start = means[means["change"] == ""].set_index("sparsity")["loss"]
    return means.assign(difference=means["loss"] - means["sparsity"].map(start))


def change(config: dict[str, Any], base: dict[str, Any]) -> str | None:
    """The field in which a run's configuration differs from the base; empty if none does, None if several do."""
    fields = ((path, config[path.split(".")[0]].get(path.split(".")[1])) for path in base)
    changed = [f"{path.split('.')[1]} = {value:g}" for path, value in fields if value not in (None, base[path])]
    return None if len(changed) > 1 else "".join(changed)


def plain(rows: list[Row], base: dict[str, Any] = BASE, free: Collection[str] = FREE) -> list[Row]:
    """The runs that differ from a base in nothing but the `free` fields, each once."""
    fixed = {path: value for path, value in base.items() if path not in free}
    return list({row["key"]: row for row in rows if change(row["config"], fixed) == ""}.values())


def in_words(change: str) -> str:
    """A `change` of `one_change` for a reader."""
    field, _, value = change.partition(" = ")
    return WORDS[field] + (f": {value}" if value and field != "scaled_gates" else "")


def by_batch(tuned: pd.DataFrame, rule: PeakRate, noise: float) -> pd.DataFrame:
    """Batches compared at the rates nearest to the rule's times the square root of the batch over four sequences.

    A row per cell (flops, d_model, n_layers, sparsity) of the budgets in which several batches were tried: the mean
    loss and the number of runs under each batch, `loss 2`, `n 2` and so on; `gain` of two sequences over four, nats,
    and its `error` if `noise` is the standard deviation of one run.
    """
    ruled = [rule(*cell) for cell in tuned[["n_params_active", "sparsity", "flops"]].to_numpy()]
    offset = np.abs(np.log(tuned["learning_rate"] / (ruled * np.sqrt(tuned["batch_size"] / 4))))
    near = tuned[(offset < np.log(NEAR)) & tuned["flops"].isin(tuned[tuned["batch_size"] != 4]["flops"])]
    cells = near.groupby(["flops", "d_model", "n_layers", "sparsity", "batch_size"])["loss"]
    found: pd.DataFrame = cells.agg(["mean", "size"]).rename(columns={"mean": "loss", "size": "n"}).unstack()
    found = found.set_axis([" ".join(map(str, column)) for column in found.columns], axis=1)
    found = found[found["loss 2"].notna() & found["loss 4"].notna()]
    error = noise * (1 / found["n 2"] + 1 / found["n 4"]) ** 0.5
    return found.assign(gain=found["loss 4"] - found["loss 2"], error=error)


def mean_gain(cells: pd.DataFrame) -> tuple[float, float]:
    """Mean of the gains of some rows of `by_batch`, and its error."""
    return float(cells["gain"].mean()), float(np.sqrt((cells["error"] ** 2).sum()) / len(cells))
