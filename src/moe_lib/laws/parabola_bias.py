"""Why a parabola misses the optimum of a law, even without noise."""

import numpy as np

from moe_lib.laws.optimum import Budget
from moe_lib.laws.parabola import vertex_of


def parabola_bias(budget: Budget, sparsity: float, offset: float, width: float, points: int = 7) -> float:
    """How far a parabola's vertex misses the optimum of noise-free losses: log of vertex over true N*.

    The grid of `points` sizes spans a factor `width`, evenly in log N, with its middle at `offset` times the true N*.
    Not zero even at offset 1, since a law is no parabola; worse off centre.
    """
    true = float(budget.best_size(sparsity))
    sizes = true * offset * np.geomspace(width**-0.5, width**0.5, points)
    return float(vertex_of(np.log(sizes), np.asarray(budget.loss(sizes, sparsity))).at - np.log(true))
