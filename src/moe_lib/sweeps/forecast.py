"""Forecasts the cost of a sweep: counts from the configurations, hours from the throughputs in the ledger."""

import math
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.accounting import count_parameters
from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger

NEAREST = 15  # rows that a forecast of speed uses
MEASURED = ("backend", "tokens_per_second", "flops_per_token", "threads", "n_params", "n_params_active")


def forecast(runs: list[RunConfig], corpora: dict[tuple[str, int], TokenCorpus], ledger: Ledger) -> pd.DataFrame:
    """One row per run: counts, steps, how often it reads the corpus, whether it is done, and its core-hours.

    The hours divide a run's FLOPs by the FLOP/s of the faster runs of about its size, because slow rows may come from
    a busy or paused machine; they are NaN if the ledger has no speeds. `corpora` is keyed by name and vocabulary size;
    epochs are NaN for a corpus that is not in it. Raises `InputError` for a run whose corpus is too small.
    """
    rows = ledger.rows()
    done = {row["key"] for row in rows}
    measured = [row for row in rows if all(row.get(name) for name in MEASURED) and row["tokens_per_second"] > 0]
    table = []
    for run in runs:
        corpus = corpora.get((run.corpus, run.model.vocab_size))
        schedule = plan(run)
        epochs = schedule.epochs(len(corpus.train)) if corpus else math.nan
        schedule.require_epochs(epochs)
        parameters = count_parameters(run.model)
        table.append(
            {
                "key": run.key,
                "done": run.key in done,
                "sparsity": run.model.sparsity,
                "d_model": run.model.d_model,
                "n_layers": run.model.n_layers,
                "flops": schedule.flops,
                "n_params": parameters.total,
                "n_params_active": parameters.active,
                "n_tokens": schedule.n_tokens,
                "n_steps": schedule.n_steps,
                "epochs": epochs,
                "core_hours": schedule.flops / _speed(measured, parameters.total, parameters.active) / 3600,
            }
        )
    return pd.DataFrame(table)


def _speed(rows: list[dict[str, Any]], n_params: int, n_params_active: int) -> float:
    """FLOP/s per core: the upper quartile of the rows nearest in log N and log N_a, with the back end of the last row.

    The upper quartile is the middle of the faster half, so up to half of the rows may come from a busy machine.
    """
    if not rows:
        return float("nan")
    rows = [row for row in rows if row["backend"] == rows[-1]["backend"]]
    apart = [
        np.hypot(np.log(row["n_params"] / n_params), np.log(row["n_params_active"] / n_params_active)) for row in rows
    ]
    nearest = [rows[index] for index in np.argsort(apart, kind="stable")[:NEAREST]]
    speeds = [row["tokens_per_second"] * row["flops_per_token"] / row["threads"] for row in nearest]
    return float(np.quantile(speeds, 0.75))
