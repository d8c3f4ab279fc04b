"""The trials of other rates that belong to a grid, and what its rules for the rates cost by them."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from moe_lib.analysis.peak_rate_fit import CELL
from moe_lib.analysis.regret import FARTHEST, regret
from moe_lib.analysis.tuning import tuning_table
from moe_lib.config import RunConfig
from moe_lib.errors import InputError
from moe_lib.ledger import Row
from moe_lib.sweeps import SweepConfig

Rate = Literal["learning_rate", "muon_rate"]
FREE = {  # fields in which a trial may differ from the runs of a grid
    "model": ("d_model", "n_layers", "n_heads", "n_experts", "n_experts_active", "granularity"),
    "training": ("learning_rate", "muon_rate", "seed"),
}


def trials_of(rows: Iterable[Row], sweep: Path, rate: Rate = "learning_rate") -> pd.DataFrame:
    """Runs like those of a sweep, as a `tuning_table` with one of the two rates as learning_rate.

    They differ from some run of the sweep in nothing but size, sparsity, seed and rates. Within a model and budget they
    share the other rate: the one that most of them have.
    """
    designs = {_design(run.model_dump()) for run in SweepConfig.from_yaml(sweep).runs()}
    alike = [row for row in rows if _design(RunConfig(**row["config"]).model_dump()) in designs]
    if not alike:
        return pd.DataFrame()
    table = tuning_table(alike)
    table["muon_rate"] = [row["config"]["training"].get("muon_rate") or 0.0 for row in alike]
    other = "muon_rate" if rate == "learning_rate" else "learning_rate"
    usual = table.groupby(CELL)[other].transform(lambda own: own.mode().iloc[0])
    table = table[table[other] == usual].reset_index(drop=True)
    return table.assign(learning_rate=table[rate])


def regret_of_rule(rows: Iterable[Row], sweep: Path, rate: Rate = "learning_rate") -> pd.DataFrame | None:
    """`regret` of a sweep's rule for one of its rates, by the trials among some rows; None if they are too few.

    The regret is NaN if the fitted best rate is not among those tried.
    """
    config = SweepConfig.from_yaml(sweep)
    rule = config.peak_rate if rate == "learning_rate" else config.muon_rate
    trials = trials_of(rows, sweep, rate)
    if rule is None or trials.empty:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an interval of which no draw is among the rates tried
            found = regret(trials, rule)
    except InputError:
        return None
    near = found["factor"].between(1 / FARTHEST, FARTHEST)
    return found.assign(regret=found["regret"].where(near))


def _design(config: dict[str, Any]) -> str:
    fixed = {part: {k: v for k, v in config[part].items() if k not in free} for part, free in FREE.items()}
    return json.dumps(config | fixed | {"muon": config["training"]["muon_rate"] is not None}, sort_keys=True)
