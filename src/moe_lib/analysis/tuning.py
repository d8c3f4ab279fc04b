"""Tuning runs as a table, and what one change does to their loss."""

from typing import Any

import numpy as np
import pandas as pd

from moe_lib.ledger import Row


def tuning_table(rows: list[Row]) -> pd.DataFrame:
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


def one_change(rows: list[Row], base: dict[str, Any]) -> pd.DataFrame:
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


def steps_above(row: Row, loss: float) -> int | None:
    """Steps that a run of the ledger needs until its training loss (mean over a bin of its curve) falls below `loss`;
    None where it never does."""
    curve = row["curve"]
    return next((step for step, at in zip(curve["step"], curve["loss"], strict=True) if at < loss), None)
