"""The instructor's solution: tune the rate, buy isoFLOP surfaces, fit Eq. 6, bet on its optimum."""

import numpy as np

from moe_lib.lab.service import CONVENTION, BetScore, Lab
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.laws.solver import fit
from moe_lib.planner.demand import Demand

# Share of the budget per run, the sparsities, and active sizes relative to that of 20 tokens per parameter.
DESIGN = (
    (1 / 400, (0.0, 0.5, 0.75, 0.9, 0.95, 0.98), (0.25, 0.5, 1.0, 2.0, 4.0)),
    (1 / 100, (0.0, 0.75, 0.9, 0.98), (0.25, 0.5, 1.0, 2.0, 4.0)),
    (1 / 25, (0.0, 0.8, 0.95), (0.35, 0.7, 1.4, 2.8)),
)
RATES = (0.35, 0.6, 1.0, 1.7, 2.8)


def solve(lab: Lab) -> BetScore:
    """Spend a lab's budget as an instructor would, and bet; three quarters of the budget are enough."""
    rate = _tuned_rate(lab)
    for share, sparsities, sizes in DESIGN:
        for sparsity in sparsities:
            for size in sizes:
                _buy(lab, share * lab.flops, sparsity, size, rate)
    law = fit(SPARSITY, lab.table).law
    flops, largest = lab.target
    question = Demand(flops, max_params=largest).of(Law(SPARSITY, law.values, limits={"S": 0.98}), None, CONVENTION)
    n, s = question.solve()
    return lab.bet(n, s, float(question.loss(n, s)))


def _tuned_rate(lab: Lab) -> float:
    """Vertex of a parabola in the log of the rate, through runs that cost a quarter of a percent each."""
    losses = [_buy(lab, lab.flops / 400, 0.9, 1.0, rate) for rate in RATES]
    curvature, slope, _ = np.polyfit(np.log(RATES), losses, 2)
    return float(np.exp(np.clip(-slope / (2 * curvature), np.log(RATES[0]), np.log(RATES[-1]))))


def _buy(lab: Lab, flops: float, sparsity: float, size: float, rate: float) -> float:
    """Loss of a run of `flops`; its N_a is `size` times sqrt(C / 120)."""
    n = size * np.sqrt(flops / 120) / (1 - sparsity) ** 0.85
    return lab.query(flops / lab.cost(n, 1.0, sparsity), n_params=n, sparsity=sparsity, rate=rate).loss
