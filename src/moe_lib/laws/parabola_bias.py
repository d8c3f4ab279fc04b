"""The bias of a parabola's vertex against a law's optimum, without noise."""

import numpy as np

from moe_lib.laws.optimum import Budget
from moe_lib.laws.parabola import vertex_of


def parabola_bias(budget: Budget, sparsity: float, offset: float, width: float, points: int = 7) -> float:
    """Bias of a parabola's vertex on noise-free losses: log of the vertex over the true N*.

    The grid of `points` sizes spans a factor `width`, evenly in log N, with its middle at `offset` times the true N*.
    A law is not a parabola, so the bias is not zero even at offset 1; it grows off centre.
    """
    true = float(budget.best_size(sparsity))
    sizes = true * offset * np.geomspace(width**-0.5, width**0.5, points)
    return float(vertex_of(np.log(sizes), np.asarray(budget.loss(sizes, sparsity))).at - np.log(true))
