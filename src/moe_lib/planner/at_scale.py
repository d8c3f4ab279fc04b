"""What a sweep takes on GPUs: memory per device, hours, and how often its runs read their corpus. Estimates only."""

import math
from collections.abc import Mapping

import pandas as pd

from moe_lib import paper
from moe_lib.accounting import count_parameters
from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.planner.hardware import Hardware, memory_bytes

WHOLE = {"redpajama": paper.CORPUS_TOKENS}  # tokens of a corpus of which we prepare a part


def gpu_plan(
    runs: list[RunConfig], n_devices: int, hardware: Hardware, corpus_tokens: Mapping[str, float] = WHOLE
) -> pd.DataFrame:
    """One row per run: counts, `gigabytes` per device, `gpu_hours` of one GPU, and `epochs`.

    The memory is that of weights, gradients and Adam's state in mixed precision, sharded over `n_devices`; activations
    come on top. The hours divide the FLOPs by the assumed share of the assumed peak of `hardware`. `epochs` are NaN for
    a corpus of unknown size.
    """
    rows = []
    for run in runs:
        parameters, schedule = count_parameters(run.model), plan(run)
        rows.append(
            {
                "sparsity": run.model.sparsity,
                "d_model": run.model.d_model,
                "n_layers": run.model.n_layers,
                "n_params": parameters.total,
                "n_params_active": parameters.active,
                "n_tokens": schedule.n_tokens,
                "flops": schedule.flops,
                "gigabytes": memory_bytes(parameters.total)["training"] / n_devices / 1e9,
                "gpu_hours": hardware.gpu_hours(schedule.flops),
                "epochs": schedule.epochs(1) / corpus_tokens.get(run.corpus, math.nan),
            }
        )
    return pd.DataFrame(rows)
