"""What a sweep will cost: counts from the configurations, hours from the throughput that the ledger has seen."""

import math
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.accounting import count_parameters
from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger

NEAREST = 15  # rows that a forecast of speed rests on
MEASURED = ("backend", "tokens_per_second", "flops_per_token", "threads", "n_params", "n_params_active")


def forecast(runs: list[RunConfig], corpora: dict[tuple[str, int], TokenCorpus], ledger: Ledger) -> pd.DataFrame:
    """One row a run: counts, steps, how often the corpus is read, whether it is done, and core-hours it will take.

    The hours divide a run's FLOPs by the FLOP/s that the faster runs of about its size reached (NaN while the ledger
    holds no speed): slow rows tell of a busy or paused machine. `corpora` is keyed by name and vocabulary size, and
    epochs are NaN where one is not there. Raises `InputError` for a run that its corpus is too small for.
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
    """FLOP/s a core: of the rows nearest in log N and log N_a, of the back end used last, the upper quartile.

    That is the middle of their faster half, so that up to half of the rows may come from a busy machine.
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
