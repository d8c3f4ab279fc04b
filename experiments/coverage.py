"""How often bootstrap intervals of Eq. 6 hold the truth, over repeated synthetic experiments; results/coverage.json.

    python experiments/coverage.py      # some minutes

Each experiment draws new noise on the same 270 runs of the paper's law, fits Eq. 6 and resamples runs. A second
experiment fits Eq. 5 by least squares to 36 runs, with intervals as plain percentiles and widened for few runs.
"""

import json

import numpy as np
import pandas as pd

from moe_lib.files import whole_file
from moe_lib.laws.implications import runs_of_law
from moe_lib.laws.interval import interval
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parametric import CHINCHILLA, SPARSITY, Law
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024
from moe_lib.laws.solver import fit
from moe_lib.laws.uncertainty import bootstrap
from moe_lib.paper import BUDGETS, SIZES, SPARSITIES
from moe_lib.repository import RESULTS

RESULT = RESULTS / "coverage.json"
EXPERIMENTS, RESAMPLES, NOISE = 16, 40, 0.003
SETS, SET_RESAMPLES = 120, 80  # of Eq. 5 by least squares
FLOPS, SIZE = 1e20, 2e9


def best_sparsity(law: Law) -> float:
    """S* of a 2e9 model at 1e20 FLOPs."""
    return float(Budget(law, FLOPS).best_sparsity(SIZE))


def squares() -> dict[str, object]:
    """Eq. 5 by least squares, many times: how often plain percentiles and widened intervals hold the truth."""
    rows = [(n, d) for n in np.geomspace(5e7, 1e10, 6) for d in np.geomspace(1e9, 3e11, 6)]
    runs = pd.DataFrame(rows, columns=["N", "D"])
    truth = BESIROGLU2024.loss(runs["N"], runs["D"])
    plain, widened = (dict.fromkeys(BESIROGLU2024.values, 0) for _ in range(2))
    for seed in range(SETS):
        noise = np.exp(NOISE * np.random.default_rng(seed).standard_normal(len(runs)))
        drawn = bootstrap(fit(CHINCHILLA, runs.assign(L=truth * noise), "mse", polishes=3), SET_RESAMPLES, seed)
        intervals = drawn.intervals()
        for name, value in BESIROGLU2024.values.items():
            low, high = drawn.table[name].quantile([0.025, 0.975])
            plain[name] += bool(low <= value <= high)
            widened[name] += bool(intervals[name][0] <= value <= intervals[name][1])
    return {"sets": SETS, "resamples": SET_RESAMPLES, "runs": len(runs), "plain": plain, "widened": widened}


def main() -> None:
    """Repeat the experiment and count."""
    runs = runs_of_law(ABNAR2025, BUDGETS, SPARSITIES[:-1], np.geomspace(1e8, SIZES[1], 9))
    held = dict.fromkeys([*ABNAR2025.values, "best_sparsity"], 0)
    for seed in range(EXPERIMENTS):
        noise = np.exp(NOISE * np.random.default_rng(seed).standard_normal(len(runs)))
        drawn = bootstrap(fit(SPARSITY, runs.assign(L=runs["L"] * noise), polishes=6), RESAMPLES)
        for name, (low, high) in drawn.intervals().items():
            held[name] += low <= ABNAR2025.values[name] <= high
        low, high = interval([best_sparsity(law) for law in drawn.laws])
        held["best_sparsity"] += bool(low <= best_sparsity(ABNAR2025) <= high)
    with whole_file(RESULT) as temporary:
        settings = {"experiments": EXPERIMENTS, "resamples": RESAMPLES, "noise": NOISE, "runs": len(runs)}
        temporary.write_text(
            json.dumps(
                {"made_by": "experiments/coverage.py"} | settings | {"held": held, "squares": squares()}, indent=1
            )
            + "\n"
        )
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
