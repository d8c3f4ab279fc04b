"""The rule for the peak learning rate: its form, its fit to tuning runs, and what it gives up.

Near its best rate the loss of a cell (one model at one budget) is a parabola in the log of the rate. The few runs of a
cell are too noisy to place it, so cells share what they can: one curvature, and a vertex that follows a power law
(`fit_rule`) or is that of their sparsity (`price`). Both are linear least squares.

Tables have a row a run, with the columns n_params_active (as built), sparsity and flops, which name the cell, and
learning_rate and loss (nats a token; NaN for a run that diverged, which is left out). All of one batch size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from moe_lib.config import Config, Positive
from moe_lib.errors import InputError
from moe_lib.laws.basis import Array

REFERENCE_SIZE, REFERENCE_FLOPS = 1e5, 1e13
CELL = ["n_params_active", "sparsity", "flops"]
REACH = 4.0  # runs at rates farther than this factor from the rule are left out: there the loss is no parabola
_REACH = np.log(REACH) * 1.01  # rates have two digits
Exponent = Annotated[float, Field(allow_inf_nan=False)]
Power = Literal["size", "density", "budget"]


class PeakRate(Config):
    """A rule for the peak learning rate: `at_reference` holds for N_a = 1e5, S = 0, C = 1e13 FLOPs.

    The rate is at_reference (N_a / 1e5)^size (1 - S)^density (C / 1e13)^budget, rounded to two digits. It is an
    interpolation: valid where tuning runs were made.
    """

    at_reference: Positive
    size: Exponent = 0.0
    density: Exponent = 0.0
    budget: Exponent = 0.0

    def __call__(self, n_params_active: float, sparsity: float, flops: float) -> float:
        """The peak rate of one run."""
        rate = (
            self.at_reference
            * (n_params_active / REFERENCE_SIZE) ** self.size
            * (1 - sparsity) ** self.density
            * (flops / REFERENCE_FLOPS) ** self.budget
        )
        return float(f"{rate:.2g}")


@dataclass(frozen=True)
class RuleFit:
    """A rule fitted to runs, the curvature about it (nats a squared e-fold of the rate), its residual (nats), and a
    95 % interval for each of its numbers from the spread of that residual."""

    rule: PeakRate
    curvature: float
    rmse: float
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
    curve = _Parabolas.fit(runs, np.log(runs["learning_rate"].to_numpy()), features)
    if curve.curvature <= 0:
        raise InputError(f"the loss of these {len(runs)} runs does not bend upwards with the rate: no rule fits them")
    ends = _interval(curve.vertices(draws=2000)).T
    at, *exponents = curve.vertices()[0]
    rule = PeakRate(
        at_reference=float(f"{np.exp(at):.3g}"),
        **{power: round(float(value), 4) for power, value in zip(powers, exponents, strict=True)},
    )
    intervals = {"at_reference": tuple(np.exp(ends[0])), **dict(zip(powers, map(tuple, ends[1:]), strict=True))}
    return RuleFit(rule, curve.curvature, curve.rmse, intervals)


def price(table: pd.DataFrame, rule: PeakRate) -> pd.DataFrame:
    """What a rule gives up at each budget and sparsity: its regret in nats, from the parabola of the runs near it.

    The best rate is the rule's own times a factor that all sizes of one budget and sparsity share; the curvature is the
    budget's. Columns flops, sparsity, n (runs), factor and regret, each with low and high (95 %, from the spread of the
    residuals), curvature and rmse. A budget whose loss does not bend upwards has the regret NaN; one with too few runs
    to say raises `InputError`.
    """
    rows = []
    for flops, runs in table.dropna(subset="loss").groupby("flops"):
        offset = offset_from(runs, rule)
        near = np.abs(offset) <= _REACH
        runs, offset = runs[near], offset[near]
        group, sparsities = pd.factorize(runs["sparsity"], sort=True)
        curve = _Parabolas.fit(runs, offset, np.eye(len(sparsities))[group])
        at, drawn = curve.vertices()[0], curve.vertices(draws=2000)
        factors, losses = np.exp(drawn), curve.curvature * drawn**2
        for number, sparsity in enumerate(sparsities):
            rows.append(
                {
                    "flops": flops,
                    "sparsity": sparsity,
                    "n": int((group == number).sum()),
                    "factor": np.exp(at[number]),
                    **_ends("factor", factors[:, number]),
                    "regret": curve.curvature * at[number] ** 2 if curve.curvature > 0 else np.nan,
                    **_ends("regret", losses[:, number]),
                    "curvature": curve.curvature,
                    "rmse": curve.rmse,
                }
            )
    return pd.DataFrame(rows)


def offset_from(table: pd.DataFrame, rule: PeakRate) -> Array:
    """Log of each run's rate over the rule's."""
    ruled = [rule(*cell) for cell in table[CELL].to_numpy()]
    return np.asarray(np.log(table["learning_rate"].to_numpy() / ruled))


def above_vertex(table: pd.DataFrame, rule: PeakRate) -> pd.DataFrame:
    """The runs near the rule with `offset` (as `offset_from`) and `above`: their loss over that at their cell's vertex,
    as `price` fits it; for a picture of the price."""
    parts: list[pd.DataFrame] = []
    for found in price(table, rule).to_dict("records"):
        runs = table[(table["flops"] == found["flops"]) & (table["sparsity"] == found["sparsity"])].dropna(
            subset="loss"
        )
        runs = runs.assign(offset=offset_from(runs, rule))
        runs = runs[runs["offset"].abs() <= _REACH]
        own = runs["loss"] - found["curvature"] * (runs["offset"] - np.log(found["factor"])) ** 2
        level = own.groupby([runs[name] for name in CELL]).transform("mean")
        parts.append(runs.assign(above=runs["loss"] - level))
    return pd.concat(parts, ignore_index=True)


def _interval(values: Array) -> Array:
    """The middle 95 % of each column; infinite values count."""
    return np.asarray(np.quantile(values, [0.025, 0.975], axis=0, method="inverted_cdf"))


def _ends(name: str, values: Array) -> dict[str, float]:
    low, high = _interval(values)
    return {f"{name}_low": low, f"{name}_high": high}


@dataclass(frozen=True)
class _Parabolas:
    """loss = own level of the cell + curvature (x - features @ vertex)^2, least squares; x is a log rate."""

    solution: Array  # curvature, then -2 curvature vertex
    covariance: Array
    rmse: float  # over degrees of freedom

    @classmethod
    def fit(cls, runs: pd.DataFrame, x: Array, features: Array) -> "_Parabolas":
        cell = runs.groupby(CELL).ngroup().to_numpy()
        design = np.column_stack([x**2, x[:, None] * features, np.eye(cell.max() + 1)[cell]])
        loss = runs["loss"].to_numpy(float)
        solution, _, rank, _ = np.linalg.lstsq(design, loss, rcond=None)
        if rank < design.shape[1] or len(loss) == rank:
            raise InputError(
                f"{len(loss)} runs of {cell.max() + 1} cells differ in too little to fit "
                f"a curvature and {features.shape[1]} numbers of a rule"
            )
        variance = float(np.sum((loss - design @ solution) ** 2) / (len(loss) - rank))
        own = slice(1 + features.shape[1])
        covariance = np.asarray(variance * np.linalg.inv(design.T @ design)[own, own], dtype=np.float64)
        return cls(solution[own], covariance, float(variance**0.5))

    @property
    def curvature(self) -> float:
        return float(self.solution[0])

    def vertices(self, draws: int = 0, seed: int = 0) -> Array:
        """The vertex's numbers `[1, k]`, or that many draws of them within their error; infinite without a vertex."""
        rng = np.random.default_rng(seed)
        drawn = rng.multivariate_normal(self.solution, self.covariance, draws) if draws else self.solution[None]
        curvature = drawn[:, :1]
        return np.where(curvature > 0, -drawn[:, 1:] / (2 * np.abs(curvature)), np.inf)
