"""How often bootstrap intervals of Eq. 6 hold the truth, over repeated synthetic experiments; results/coverage.json.

    python experiments/coverage.py      # some minutes

Each experiment draws new noise on the same 270 runs of the paper's law, fits Eq. 6 and resamples runs.
"""

import json

import numpy as np

from moe_lib.files import whole_file
from moe_lib.laws.implications import runs_of_law
from moe_lib.laws.interval import interval
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.laws.published import ABNAR2025
from moe_lib.laws.solver import fit
from moe_lib.laws.uncertainty import bootstrap
from moe_lib.paper import BUDGETS, SIZES, SPARSITIES
from moe_lib.repository import RESULTS

RESULT = RESULTS / "coverage.json"
EXPERIMENTS, RESAMPLES, NOISE = 16, 40, 0.003
FLOPS, SIZE = 1e20, 2e9


def best_sparsity(law: Law) -> float:
    """S* of a 2e9 model at 1e20 FLOPs."""
    return float(Budget(law, FLOPS).best_sparsity(SIZE))


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
            json.dumps({"made_by": "experiments/coverage.py"} | settings | {"held": held}, indent=1) + "\n"
        )
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
