"""How our runs learned: by which recipe, and how much of a run each of its two transitions took."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd

from moe_lib.ledger import Row

RecipeName = Literal["landed", "paper", "modern"]
MULTIPLIER = 5.0  # embedding multiplier of both recipes in use


def recipe_of(config: dict[str, Any]) -> RecipeName | None:
    """The recipe of a row's `config`; None for a variant that has no name.

    `landed`: Adam, and embeddings that enter at a standard deviation of 0.02. `paper`: Adam, an embedding multiplier of
    5, and biases of queries and keys. `modern`: in addition, Muon for the matrices of attention.
    """
    model, training = config["model"], config["training"]
    if training.get("output_init", 1.0) != 1:
        return None
    kind = (
        model.get("embedding_multiplier", 1.0),
        model.get("qk_bias", False),
        training.get("muon_rate") is not None,
    )
    recipes: dict[tuple[float, bool, bool], RecipeName] = {
        (1.0, False, False): "landed",
        (MULTIPLIER, True, False): "paper",
        (MULTIPLIER, True, True): "modern",
    }
    return recipes.get(kind)


def transition_table(rows: Iterable[Row]) -> pd.DataFrame:
    """A row for each finished run with `dynamics`.

    Columns recipe, attention (its optimiser), multiplier (of embeddings), biases (of queries and keys), S, shape
    (d_model x n_layers), C, seed, loss (nats per token), n_steps, n_tokens, and for the two transitions `bigram` and
    `copy` the steps until then (`bigram_step`, `copy_step`) and their share of the run (`bigram_share`, `copy_share`),
    NaN if it never came.
    """
    table = []
    for row in rows:
        if row["status"] != "done" or "dynamics" not in row:
            continue
        config, seen = row["config"], row["dynamics"]
        steps = {name: np.nan if seen[name] is None else seen[name] for name in ("bigram_step", "copy_step")}
        table.append(
            {
                "recipe": recipe_of(config),
                "attention": "Adam" if config["training"].get("muon_rate") is None else "Muon",
                "multiplier": config["model"].get("embedding_multiplier", 1.0),
                "biases": "yes" if config["model"].get("qk_bias") else "no",
                "S": row["sparsity"],
                "shape": f"{config['model']['d_model']} x {config['model']['n_layers']}",
                "C": config["training"]["flops"],
                "seed": config["training"]["seed"],
                "loss": row["loss"],
                "n_steps": row["n_steps"],
                "n_tokens": row["n_tokens"],
                **steps,
                **{name.replace("step", "share"): step / row["n_steps"] for name, step in steps.items()},
            }
        )
    return pd.DataFrame(table)


def by_variant(table: pd.DataFrame) -> pd.DataFrame:
    """A `transition_table`, one row for each recipe or unnamed variant and each sparsity, over its runs.

    Columns attention, multiplier, biases, recipe, S, `n` runs, `copies` (how many of them copy by the end), loss (mean)
    and `spread` (largest minus smallest loss), and the medians bigram_share and copy_share (NaN unless more than half
    of the runs copy).
    """
    grouped = table.fillna({"copy_share": np.inf}).groupby(["multiplier", "attention", "biases", "S"], sort=True)
    found = grouped.agg(
        recipe=("recipe", "first"),
        n=("loss", "size"),
        copies=("copy_step", "count"),
        loss=("loss", "mean"),
        spread=("loss", lambda losses: losses.max() - losses.min()),
        bigram_share=("bigram_share", "median"),
        copy_share=("copy_share", "median"),
    )
    return found.replace({"copy_share": {np.inf: np.nan}}).reset_index()


def transition_shares(table: pd.DataFrame) -> pd.DataFrame:
    """At which share of their steps the runs of a `transition_table` had each transition: a row per recipe and budget.

    Columns recipe, C, n (runs), and for `bigram` and `copy` the median and the ninetieth percentile of the share, in
    which a transition that never came counts as later than all others (infinite), and `never`, the number of those.
    """
    rows = []
    for (recipe, flops), own in table.groupby(["recipe", "C"], sort=False) if len(table) else ():
        found: dict[str, Any] = {"recipe": recipe, "C": flops, "n": len(own)}
        for name in ("bigram", "copy"):
            shares = own[f"{name}_share"].fillna(np.inf)
            median, late = shares.quantile([0.5, 0.9], interpolation="higher")
            found |= {f"{name}_median": median, f"{name}_late": late, f"{name}_never": int(np.isinf(shares).sum())}
        rows.append(found)
    return pd.DataFrame(rows)
