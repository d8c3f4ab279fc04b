"""A separate parabola of the loss in log size for each sparsity and budget (Section D.4)."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, feature
from moe_lib.laws.interval import interval
from moe_lib.laws.isoflop import Size
from moe_lib.laws.minimum import lowest


def parabolas(
    table: pd.DataFrame,
    size: Size = "N",
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
    noise: Any = None,
) -> pd.DataFrame:
    """A separate parabola of the loss in log size for each (S, C), as in D.4; one row each.

    Columns S, C, n (runs), the size at the vertex, L there, `curvature` (nats per squared e-fold), percentile intervals
    over resampled runs of the vertex (`low`, `high`) and of its loss (`L_low`, `L_high`), `bracketed` (share of
    resamples with a vertex inside their grid) and `place` as in `Surface.best_size`: an outside vertex is an
    extrapolation. If the `noise` is given (standard deviation of a loss about its parabola, nats; one number, or one
    per row), a resample keeps all sizes and draws losses about the parabola, because resampling a few sizes works
    badly. `InputError` for a group with fewer than three sizes.
    """
    rng, rows = np.random.default_rng(seed), []
    keys = ["S", *(["C"] if "C" in table else [])]
    table = table.reset_index(drop=True)
    spread = None if noise is None else pd.Series(np.broadcast_to(noise, len(table)), table.index)
    for labels, group in table.groupby(keys):
        where = dict(zip(keys, labels, strict=True))
        n, y = feature(size, group[size]), group["L"].to_numpy(float)
        if len(np.unique(n)) < 3:
            raise InputError(f"{', '.join(f'{k} = {v:g}' for k, v in where.items())}: a parabola needs three sizes")
        best = vertex_of(n, y)
        if spread is None:
            resampled = [d for d in rng.integers(0, len(n), (resamples, len(n))) if len(np.unique(n[d])) >= 3]
            vertices = [vertex_of(n[d], y[d]) for d in resampled]
        else:
            own = spread[group.index].to_numpy(float)
            vertices = [vertex_of(n, best.fitted + own * rng.standard_normal(len(n))) for _ in range(resamples)]
        low, high = interval([(v.at, v.loss) for v in vertices or [best]], level)
        rows.append(
            where
            | {"n": len(n), size: np.exp(best.at), "L": best.loss, "curvature": best.curvature}
            | {"low": np.exp(low[0]), "high": np.exp(high[0]), "L_low": low[1], "L_high": high[1]}
            | {"bracketed": sum(v.place == "inside" for v in vertices) / max(len(vertices), 1), "place": best.place}
        )
    return pd.DataFrame(rows)


def gains_over_dense(fits: pd.DataFrame) -> pd.DataFrame:
    """The gain of each sparsity over dense at their best sizes, from the `parabolas` of one budget.

    Columns S, gain (the loss of S = 0 minus its own, nats) and error: half the 95 % interval of that difference of two
    independent fits. `InputError` if S = 0 is missing.
    """
    half = (fits["L_high"] - fits["L_low"]).to_numpy(float) / 2
    dense = np.flatnonzero(fits["S"] == 0)
    if len(dense) != 1:
        raise InputError(f"fits: a gain over dense needs one fit at S = 0, but there are {len(dense)}")
    loss = fits["L"].to_numpy(float)
    return pd.DataFrame({"S": fits["S"].to_numpy(), "gain": loss[dense] - loss, "error": np.hypot(half, half[dense])})


def parabola_scatter(table: pd.DataFrame, size: Size = "N") -> float:
    """Standard deviation of the losses about the parabolas of `parabolas`, pooled over (S, C), in nats.

    It includes the noise between seeds and the misfit of a parabola. `InputError` if no group has more than three runs.
    """
    squares, freedom = 0.0, 0
    for _, group in table.groupby(["S", *(["C"] if "C" in table else [])]):
        y = group["L"].to_numpy(float)
        squares += float(np.sum((y - vertex_of(feature(size, group[size]), y).fitted) ** 2))
        freedom += len(y) - 3
    if freedom <= 0:
        raise InputError(
            f"{len(table)} runs are too few to estimate a scatter about parabolas, which have three numbers each"
        )
    return float(np.sqrt(squares / freedom))


class Vertex(NamedTuple):
    """The lowest point of the least squares parabola in log size, as `lowest` defines it, and the loss there."""

    at: float
    loss: float
    place: str
    curvature: float
    fitted: Array  # the parabola at the sizes


def vertex_of(n: Array, y: Array) -> Vertex:
    """The vertex of losses `y` (nats) at log sizes `n`, both `[runs]`."""
    middle = n.mean()
    curve = np.polyfit(n - middle, y, 2)
    at, place = lowest(np.asarray(curve[::-1], dtype=np.float64), (n.min() - middle, n.max() - middle))
    return Vertex(
        at + middle, float(np.polyval(curve, at)), place, float(curve[0]), np.asarray(np.polyval(curve, n - middle))
    )
