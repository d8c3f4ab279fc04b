"""The rule for the peak learning rate, fitted to tuning runs.

Near its best rate the loss of a cell (one model at one budget) is a parabola in the log of the rate. The few runs of a
cell are too noisy to place it, so cells share what they can: one curvature, and a vertex that follows a power law
(`fit_rule`) or is that of their sparsity (`regret`). Both are linear least squares.

Tables have a row a run, with the columns n_params_active (as built), sparsity and flops, which name the cell, and
learning_rate and loss (nats a token; NaN for a run that diverged, which is left out). All of one batch size.
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
TINY = 1e-12  # squared nats; no budget's noise counts as less
DRAWS = 4000
Power = Literal["size", "density", "budget"]


@dataclass(frozen=True)
class RuleFit:
    """A rule fitted to runs, the curvature about it (nats a squared e-fold of the rate), and a 95 % interval for each
    of its numbers, from the spread of the residuals."""

    rule: PeakRate
    curvature: float
    intervals: dict[str, tuple[float, float]]


def fit_rule(table: pd.DataFrame, powers: Sequence[Power] = ("size", "density", "budget")) -> RuleFit:
    """The power law in the named quantities through the vertices of all cells' parabolas, of one curvature.

    `InputError` where the runs do not tell its numbers apart, or their loss does not bend upwards.
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
    """loss = own level of the cell + curvature (x - features @ vertex)^2; x is a log rate.

    Least squares, weighted by the spread of the residuals at each budget: the cheaper the runs, the noisier.
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
                f"{len(loss)} runs of {cell.max() + 1} cells differ in too little to fit "
                f"a curvature and {features.shape[1]} numbers of a rule"
            )
        budget, weights = runs.groupby("flops").ngroup().to_numpy(), np.ones(len(loss))
        for _ in range(2):  # the second time with each budget's own noise
            inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
            solution = inverse @ design.T @ (weights * loss)
            residual = loss - design @ solution
            freedom = 1 - weights * np.sum((design @ inverse) * design, axis=1)
            noise = np.bincount(budget, residual**2) / np.maximum(np.bincount(budget, freedom), 1e-9)
            weights = 1 / np.maximum(noise, TINY)[budget]
        if solution[0] <= 0:
            raise InputError(
                f"the loss of these {len(loss)} runs does not bend upwards with the rate: no rule fits them"
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
        """Curvatures `[DRAWS, 1]` and vertices `[DRAWS, k]` within their error; infinite without a vertex."""
        drawn = np.random.default_rng(0).multivariate_normal(
            self.solution,
            self.covariance,
            DRAWS,
            method="cholesky",  # unique, so that machines draw alike; an SVD is not
        )
        curvature = drawn[:, :1]
        return curvature, np.where(curvature > 0, -drawn[:, 1:] / (2 * np.abs(curvature)), np.inf)
