"""What a sweep will cost: counts from the configurations, hours from the throughput that the ledger has seen."""

import math
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.accounting import count_parameters
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger
from moe_lib.training import plan

NEAREST = 7  # rows that a forecast of speed rests on


def forecast(runs: list[RunConfig], corpora: dict[str, TokenCorpus], ledger: Ledger) -> pd.DataFrame:
    """One row a run: counts, steps, how often the corpus is read, whether it is done, and core-hours it will take.

    The hours divide a run's FLOPs by the FLOP/s that runs of its size reached (NaN while the ledger is empty);
    `corpora` is keyed by the runs' corpus names, and epochs are NaN where one is not there. Raises `InputError` for a
    run that its corpus is too small for.
    """
    rows = ledger.rows()
    done = {row["key"] for row in rows}
    table = []
    for run in runs:
        corpus = corpora.get(run.corpus)
        schedule = plan(run, len(corpus.train) if corpus else math.inf)
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
                "epochs": schedule.epochs if corpus else math.nan,
                "core_hours": schedule.flops / _speed(rows, parameters.total, parameters.active) / 3600,
            }
        )
    return pd.DataFrame(table)


def _speed(rows: list[dict[str, Any]], n_params: int, n_params_active: int) -> float:
    """FLOP/s a core: the median of the rows nearest in log N and log N_a, of the back end used last."""
    if not rows:
        return float("nan")
    rows = [row for row in rows if row["backend"] == rows[-1]["backend"]]
    apart = [
        np.hypot(np.log(row["n_params"] / n_params), np.log(row["n_params_active"] / n_params_active)) for row in rows
    ]
    nearest = [rows[index] for index in np.argsort(apart)[:NEAREST]]
    return float(np.median([row["tokens_per_second"] * row["flops_per_token"] / row["threads"] for row in nearest]))
