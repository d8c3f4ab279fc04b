"""The rule for the peak learning rate, fitted to tuning runs.

A cell is one model at one budget. Near its best learning rate its loss is a parabola in the log of the rate. The few
runs of a cell are too noisy to place its vertex, so all cells share one curvature. Their vertices follow a power law
(`fit_rule`), or are shared by all sizes of one budget and sparsity (`regret`). Both fits are linear least squares.

Tables have one row per run. The columns n_params_active (as built), sparsity and flops identify the cell; learning_rate
and loss (nats per token) are its data. Runs that diverged have the loss NaN and are left out. All runs have the same
batch size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array
from moe_lib.laws.interval import interval
from moe_lib.sweeps.peak_rate import REFERENCE_FLOPS, REFERENCE_SIZE, PeakRate

CELL = ["n_params_active", "sparsity", "flops"]
TINY = 1e-12  # squared nats; lower bound on the noise of a budget
DRAWS = 4000
Power = Literal["size", "density", "budget"]


@dataclass(frozen=True)
class RuleFit:
    """A rule fitted to runs, the curvature (nats per squared e-fold of the rate), and 95 % intervals of its numbers.

    The intervals follow from the spread of the residuals.
    """

    rule: PeakRate
    curvature: float
    intervals: dict[str, tuple[float, float]]


def fit_rule(table: pd.DataFrame, powers: Sequence[Power] = ("size", "density", "budget")) -> RuleFit:
    """Fit a power law in the named quantities to the vertices of all cells' parabolas, which share one curvature.

    `InputError` if the runs do not identify its numbers, or if the fitted curvature is not positive.
    """
    runs = table.dropna(subset="loss")
    columns = {
        "size": np.log(runs["n_params_active"] / REFERENCE_SIZE),
        "density": np.log1p(-runs["sparsity"]),
        "budget": np.log(runs["flops"] / REFERENCE_FLOPS),
    }
    features = np.column_stack([np.ones(len(runs)), *(columns[power] for power in powers)])
    curve = SharedCurvature.fit(runs, np.log(runs["learning_rate"].to_numpy()), features)
    ends = np.stack(interval(curve.drawn()[1], unbounded=True), axis=1)
    at, *exponents = curve.vertex
    rule = PeakRate(
        at_reference=float(f"{np.exp(at):.3g}"),
        **{power: round(float(value), 4) for power, value in zip(powers, exponents, strict=True)},
    )
    intervals = {"at_reference": tuple(np.exp(ends[0])), **dict(zip(powers, map(tuple, ends[1:]), strict=True))}
    return RuleFit(rule, curve.curvature, intervals)


@dataclass(frozen=True)
class SharedCurvature:
    """loss = level of the cell + curvature (x - features @ vertex)^2; x is a log rate.

    Least squares, weighted by the spread of the residuals at each budget, because cheaper runs are noisier.
    """

    solution: Array  # curvature, then -2 curvature vertex
    covariance: Array

    @classmethod
    def fit(cls, runs: pd.DataFrame, x: Array, features: Array) -> "SharedCurvature":
        cell = runs.groupby(CELL).ngroup().to_numpy()
        design = np.column_stack([x**2, x[:, None] * features, np.eye(cell.max() + 1)[cell]])
        loss = runs["loss"].to_numpy(float)
        _, _, rank, _ = np.linalg.lstsq(design, loss, rcond=None)
        if rank < design.shape[1] or len(loss) == rank:
            raise InputError(
                f"{len(loss)} runs of {cell.max() + 1} models and budgets differ in too little to identify "
                f"a curvature and {features.shape[1]} numbers of a rule"
            )
        budget, weights = runs.groupby("flops").ngroup().to_numpy(), np.ones(len(loss))
        for _ in range(2):  # the second pass weights each budget by its noise
            inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
            solution = inverse @ design.T @ (weights * loss)
            residual = loss - design @ solution
            freedom = 1 - weights * np.sum((design @ inverse) * design, axis=1)
            noise = np.bincount(budget, residual**2) / np.maximum(np.bincount(budget, freedom), 1e-9)
            weights = 1 / np.maximum(noise, TINY)[budget]
        if solution[0] <= 0:
            raise InputError(
                f"the loss of these {len(loss)} runs has no minimum in the learning rate, so no rule can be fitted"
            )
        own = slice(1 + features.shape[1])
        covariance: Any = np.linalg.inv(design.T @ (weights[:, None] * design))
        return cls(solution[own], covariance[own, own])

    @property
    def curvature(self) -> float:
        return float(self.solution[0])

    @property
    def vertex(self) -> Array:
        """The vertex's numbers `[k]`."""
        return np.asarray(-self.solution[1:] / (2 * self.solution[0]))

    def drawn(self) -> tuple[Array, Array]:
        """Draws of curvatures `[DRAWS, 1]` and vertices `[DRAWS, k]` from their errors; infinite without a vertex."""
        drawn = np.random.default_rng(0).multivariate_normal(
            self.solution,
            self.covariance,
            DRAWS,
            method="cholesky",  # unique, so all machines make the same draws; an SVD is not unique
        )
        curvature = drawn[:, :1]
        return curvature, np.where(curvature > 0, -drawn[:, 1:] / (2 * np.abs(curvature)), np.inf)
