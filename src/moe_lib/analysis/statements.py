"""The claims of Section 2 about one budget's surface, as numbers whose sign decides, with intervals from refits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from moe_lib.laws.basis import feature
from moe_lib.laws.isoflop import Size, Surface
from moe_lib.laws.resampled import ResampledSurface

Number = Callable[[Surface, Sequence[float]], float]


@dataclass(frozen=True)
class Statement:
    """A claim of the paper, the number that decides it, and the sign that the paper claims.

    The number is taken over `along`: sparsities, or sizes at which the best sparsity is computed.
    """

    text: str
    source: str
    size: Size
    along: Literal["sparsities", "sizes"]
    number: Number
    sign: Literal[1, -1]
    unit: str


def least_bend(surface: Surface, sparsities: Sequence[float]) -> float:
    """The smallest curvature along log size at any of the sparsities; nats per squared e-fold."""
    middle, step = np.mean(surface.n_range), np.ptp(surface.n_range) / 4
    low, at, high = (surface.loss(np.exp(middle + k * step), np.asarray(sparsities)) for k in (-1, 0, 1))
    return float(np.min((low - 2 * at + high) / step**2))


def size_trend(surface: Surface, sparsities: Sequence[float]) -> float:
    """Slope of the log of the best size over -log(1-S): e-folds of size per e-fold of sparsity."""
    best = surface.best_size(sparsities)
    return _slope(feature("S", best["S"]), np.log(best[surface.size].to_numpy(float)))


def loss_trend(surface: Surface, sparsities: Sequence[float]) -> float:
    """Slope of the loss at the best size over -log(1-S); nats per e-fold of sparsity."""
    best = surface.best_size(sparsities)
    return _slope(feature("S", best["S"]), best["L"].to_numpy(float))


def sparsity_bend(surface: Surface, sizes: Sequence[float]) -> float:
    """The smallest curvature along -log(1-S) at any of the sizes; nats per squared e-fold of sparsity."""
    middle, step = np.mean(surface.s_range), np.ptp(surface.s_range) / 4
    low, at, high = (surface.loss(np.asarray(sizes), -np.expm1(-(middle + k * step))) for k in (-1, 0, 1))
    return float(np.min((low - 2 * at + high) / step**2))


def sparsity_trend(surface: Surface, sizes: Sequence[float]) -> float:
    """Slope of -log(1-S*) over log size: e-folds of sparsity per e-fold of size."""
    best = surface.best_sparsity(sizes)
    return _slope(np.log(np.asarray(sizes)), feature("S", best["S"]))


BEST_SIZE, FIXED_SIZE = "Section 2.1, Figures 1 to 3", "Section 2.2, Figures 2 and 4"
SECTION_2 = (
    Statement("at every S the loss is a valley in log N", "Section 2, Figure 1", "N", "sparsities", least_bend, 1,
              "nats per squared e-fold of N, the flattest S"),
    Statement("N* rises with S", BEST_SIZE, "N", "sparsities", size_trend, 1, "e-folds of N* per e-fold of 1/(1-S)"),
    Statement("N_a* falls with S", BEST_SIZE, "Na", "sparsities", size_trend, -1,
              "e-folds of N_a* per e-fold of 1/(1-S)"),
    Statement("L* falls with S", BEST_SIZE, "N", "sparsities", loss_trend, -1, "nats per e-fold of 1/(1-S)"),
    Statement("at fixed N the loss is a valley in S", FIXED_SIZE, "N", "sizes", sparsity_bend, 1,
              "nats per squared e-fold of 1/(1-S), the flattest N"),
    Statement("S* rises with N", FIXED_SIZE, "N", "sizes", sparsity_trend, 1, "e-folds of 1/(1-S*) per e-fold of N"),
)  # fmt: skip


def judge(
    total: ResampledSurface, active: ResampledSurface, sparsities: Sequence[float], sizes: Sequence[float] = ()
) -> pd.DataFrame:
    """Each statement of Section 2 at one budget, from its surfaces in N and in N_a.

    Without sizes, the statements about fixed N are left out. Columns statement, source, sign (1 or -1, as claimed),
    value, low, high (95 %), unit, and shows: `yes` means that the whole interval has the paper's sign, `no` that it has
    the other sign, `undecided` that it includes zero.
    """
    rows = []
    for statement in SECTION_2:
        surface = total if statement.size == "N" else active
        along = sparsities if statement.along == "sparsities" else sizes
        if not along:
            continue
        value, low, high = surface.interval(lambda one, of=statement.number, at=along: of(one, at))  # type: ignore[misc]
        least, most = sorted((statement.sign * low, statement.sign * high))
        shows = "yes" if least > 0 else "no" if most < 0 else "undecided"
        named = {"statement": statement.text, "source": statement.source, "sign": statement.sign}
        rows.append(named | {"value": value, "low": low, "high": high, "unit": statement.unit, "shows": shows})
    return pd.DataFrame(rows)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(x, y, 1)[0])
