"""IsoFLOP surfaces: loss over size and sparsity from the runs of one budget, without a law (Section 2, Appendix B).

Eq. 8 is a polynomial in n = log N (or log N_a), s = -log(1-S) and powers of their product. Powers of n s depend on the
unit of N: here N counts parameters, so a surface fitted with N in millions is a different one.

Tables have columns N (or Na), S, L, and C if budgets differ; one row per run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Columns, feature
from moe_lib.laws.minimum import lowest
from moe_lib.paper import DEGREES

Degrees = tuple[int, int, int]
Size = Literal["N", "Na"]


@dataclass(frozen=True)
class Surface:
    """Eq. 8 fitted to the runs of one budget; `n_range` and `s_range` are the ends of its data in n and s."""

    degrees: Degrees
    size: Size
    coefficients: Array  # of n^i, s^i, (n s)^i and 1, in this order
    n_range: tuple[float, float]
    s_range: tuple[float, float]
    rmse: float

    def loss(self, n_params: Any, sparsity: Any) -> Array:
        """Fitted loss at sizes (N or N_a as fitted) and sparsities; nats per token, arrays broadcast."""
        n, s = np.broadcast_arrays(feature(self.size, n_params), feature("S", sparsity))
        return np.asarray((_design(n.ravel(), s.ravel(), self.degrees) @ self.coefficients).reshape(n.shape))[()]

    def best_size(self, sparsity: Iterable[float]) -> pd.DataFrame:
        """Size with the lowest loss at each sparsity: columns S, N (or Na), L and `place`.

        `place` is `inside` the grid of sizes, or `outside`: the vertex is then an extrapolation, or without a vertex
        the better end of the grid.
        """
        given = np.asarray(list(sparsity), dtype=np.float64)
        found = [lowest(self._along("n", s), self.n_range) for s in feature("S", given).tolist()]
        size, places = np.exp([at for at, _ in found]), [place for _, place in found]
        return pd.DataFrame({"S": given, self.size: size, "L": self.loss(size, given), "place": places})

    def best_sparsity(self, n_params: Iterable[float]) -> pd.DataFrame:
        """Sparsity with the lowest loss at each size: columns N (or Na), S, L and `place`.

        As `best_size`; `dense` is a vertex below S = 0: the dense model is best.
        """
        sizes = np.asarray(list(n_params), dtype=np.float64)
        found = [lowest(self._along("s", n), self.s_range) for n in feature(self.size, sizes).tolist()]
        places = ["dense" if at <= 0 else place for at, place in found]
        best = -np.expm1(-np.array([max(at, 0.0) for at, _ in found]))
        return pd.DataFrame({self.size: sizes, "S": best, "L": self.loss(sizes, best), "place": places})

    def _along(self, axis: Literal["n", "s"], other: float) -> Array:
        """Coefficients of the polynomial in one feature at a value of the other, from degree 0 (left at 0) up."""
        a1, a2, a3 = self.degrees
        own = self.coefficients[:a1] if axis == "n" else self.coefficients[a1 : a1 + a2]
        mixed = self.coefficients[a1 + a2 : a1 + a2 + a3] * other ** np.arange(1, a3 + 1)
        out = np.zeros(1 + max(len(own), len(mixed)))
        out[1 : 1 + len(own)] += own
        out[1 : 1 + len(mixed)] += mixed
        return out


def fit_surface(table: Columns, degrees: Degrees = DEGREES, size: Size = "N") -> Surface:
    """Least squares of Eq. 8 on the loss of one budget's runs; `InputError` if the runs are too few."""
    n, s, y = _features(table, size)
    coefficients = _solve(_design(n, s, degrees), y, degrees)
    residual = y - _design(n, s, degrees) @ coefficients
    return Surface(
        degrees, size, coefficients, (n.min(), n.max()), (s.min(), s.max()), float(np.sqrt(np.mean(residual**2)))
    )


def cross_validate(table: Columns, size: Size = "N", folds: int = 10, seed: int = 0, largest: int = 4) -> pd.DataFrame:
    """Held-out error of every triple of degrees 0 to `largest`, best first (Appendix B).

    Columns degrees, terms, mse, se (of the mean over folds), within_one_se: worse than the best by at most the best
    one's standard error, so these data cannot separate the two. Triples with more terms than a fold has runs are left
    out.
    """
    n, s, y = _features(table, size)
    fold = np.random.default_rng(seed).permutation(len(y)) % min(folds, len(y))
    smallest = len(y) - np.bincount(fold).max()
    rows = []
    for degrees in product(range(largest + 1), range(largest + 1), range(largest + 1)):
        if sum(degrees) + 1 > smallest:
            continue
        x = _design(n, s, degrees)
        errors = np.array([np.mean(_held_out(x, y, fold == k, degrees) ** 2) for k in np.unique(fold)])
        rows.append(
            {
                "degrees": degrees,
                "terms": sum(degrees) + 1,
                "mse": errors.mean(),
                "se": errors.std(ddof=1) / np.sqrt(len(errors)),
            }
        )
    result = pd.DataFrame(rows).sort_values("mse", ignore_index=True)
    mse, se = result["mse"].to_numpy(float), result["se"].to_numpy(float)
    return result.assign(within_one_se=mse <= mse[0] + se[0])


def choose_degrees(table: Columns, size: Size = "N") -> Degrees:
    """The triple of fewest terms within one standard error of the best, each run (or cell) left out once; of several,
    the one with the lowest error."""
    [chosen] = choose_degrees_of_draws(table, np.ones((1, len(table["L"]))), size)
    return chosen


def choose_degrees_of_draws(
    table: Columns, counts: Array, size: Size = "N", losses: Array | None = None
) -> list[Degrees]:
    """`choose_degrees` for draws of one table: its rows as often as `counts` says, with other `losses` if given.

    Both are `[draws, rows]`. A row is left out with all its copies. One QR for all draws gives each left-out error in
    closed form, the residual over one minus the leverage.
    """
    n, s, y = _features(table, size)
    root = np.sqrt(np.asarray(counts, dtype=np.float64))
    y = root * (y if losses is None else losses)
    powers = [((x - x.mean()) / (x.std() or 1))[:, None] ** np.arange(5) for x in (n, s, n * s)]
    distinct, total = (root > 0).sum(axis=1), (root**2).sum(axis=1)
    triples = [degrees for degrees in product(range(5), repeat=3) if sum(degrees) + 1 < distinct.max()]
    mse, variance = np.full((2, len(root), len(triples)), np.inf)
    for place, degrees in enumerate(triples):
        x = np.hstack([np.ones((len(n), 1)), *(x[:, 1 : k + 1] for x, k in zip(powers, degrees, strict=True))])
        q, r = np.linalg.qr(root[..., None] * x)
        size_of = np.abs(np.diagonal(r, axis1=1, axis2=2))
        q = q * (size_of > 1e-9 * size_of.max(axis=1, keepdims=True))[:, None]  # a column that others span adds nothing
        residual = y - (q @ (q.transpose(0, 2, 1) @ y[..., None]))[..., 0]
        rest = 1 - (q**2).sum(axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where(root > 0, (residual / rest / root) ** 2, 0)
        errors[(rest < 1e-9) & (root > 0)] = np.inf  # left out, this row is not predicted
        with np.errstate(invalid="ignore"):
            mean = (root**2 * errors).sum(axis=1) / total
            spread = (root**2 * (errors - mean[:, None]) ** 2).sum(axis=1) / (total - 1)
        known = np.isfinite(mean) & (sum(degrees) + 1 < distinct)
        mse[known, place], variance[known, place] = mean[known], spread[known]
    best = mse.argmin(axis=1)[:, None]
    limit = np.take_along_axis(mse, best, 1) + np.sqrt(np.take_along_axis(variance, best, 1) / total[:, None])
    terms = np.array([sum(degrees) for degrees in triples])
    order = np.where(mse <= limit, terms, np.inf)
    order = np.where(order == order.min(axis=1, keepdims=True), mse, np.inf)
    return [triples[place] for place in order.argmin(axis=1)]


def random_refits(
    table: Columns,
    degrees: Degrees = DEGREES,
    size: Size = "N",
    times: int = 100,
    share: float = 0.2,
    seed: int = 0,
) -> pd.DataFrame:
    """Random refits with a held-out share of the runs (Appendix B): columns r (Pearson) and rmse, one row per refit.

    r alone is weak evidence, because most of the loss's spread comes from the sizes; compare rmse with the noise
    between seeds. The paper does not print its share.
    """
    n, s, y = _features(table, size)
    x, rng = _design(n, s, degrees), np.random.default_rng(seed)
    count = max(2, round(share * len(y)))
    rows = []
    for _ in range(times):
        out = np.isin(np.arange(len(y)), rng.choice(len(y), count, replace=False))
        error = _held_out(x, y, out, degrees)
        rows.append({"r": np.corrcoef(y[out], y[out] - error)[0, 1], "rmse": np.sqrt(np.mean(error**2))})
    return pd.DataFrame(rows)


def predict_held_out(table: Columns, degrees: Degrees = DEGREES, size: Size = "N") -> Array:
    """The loss of each run (or cell) by the surface of all others, nats `[runs]`."""
    n, s, y = _features(table, size)
    x, rows = _design(n, s, degrees), np.arange(len(y))
    return np.concatenate([y[rows == i] - _held_out(x, y, rows == i, degrees) for i in rows])


def _features(table: Columns, size: Size) -> tuple[Array, Array, Array]:
    return feature(size, table[size]), feature("S", table["S"]), np.asarray(table["L"], dtype=np.float64)


def _design(n: Array, s: Array, degrees: Degrees) -> Array:
    columns = [x**i for x, degree in zip((n, s, n * s), degrees, strict=True) for i in range(1, degree + 1)]
    return np.stack([*columns, np.ones_like(n)], axis=1)


def _solve(x: Array, y: Array, degrees: Degrees) -> Array:
    """Least squares with columns scaled to one, so that powers of log N do not dominate."""
    scale = np.abs(x).max(axis=0)
    scale = np.where(scale > 0, scale, 1)
    solution, _, rank, _ = np.linalg.lstsq(x / scale, y, rcond=1e-13)
    if rank < x.shape[1] and len(y) < x.shape[1]:
        raise InputError(f"degrees = {degrees} need at least {x.shape[1]} runs, but there are {len(y)}")
    return np.asarray(solution / scale)


def _held_out(x: Array, y: Array, out: Any, degrees: Degrees) -> Array:
    return np.asarray(y[out] - x[out] @ _solve(x[~out], y[~out], degrees))
