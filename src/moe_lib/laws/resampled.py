"""Uncertainty of a surface of Eq. 8: refits to resampled runs, and fits as if sparsity had no effect.

A cell is one size and sparsity with all its seeds; a resample draws whole cells.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import Delaunay

from moe_lib.laws.basis import Array, feature
from moe_lib.laws.interval import interval
from moe_lib.laws.isoflop import Degrees, Size, Surface, choose_degrees, choose_degrees_of_draws, fit_surface
from moe_lib.paper import DEGREES


@dataclass(frozen=True)
class ResampledSurface:
    """A surface and its refits, one per resample of the cells."""

    fitted: Surface
    refits: tuple[Surface, ...]

    def best_size(self, sparsity: Iterable[float]) -> pd.DataFrame:
        """`Surface.best_size` with 95 % intervals of the size (`low`, `high`) and of its loss (`L_low`, `L_high`).

        `bracketed` is the share of refits whose vertex is inside the grid of sizes.
        """
        sparsity = list(sparsity)
        return self._with_intervals(lambda surface: surface.best_size(sparsity), self.fitted.size)

    def best_sparsity(self, n_params: Iterable[float]) -> pd.DataFrame:
        """`Surface.best_sparsity` with 95 % intervals, as `best_size`; `bracketed` is the share of interior optima."""
        n_params = list(n_params)
        return self._with_intervals(lambda surface: surface.best_sparsity(n_params), "S")

    def share(self, holds: Callable[[Surface], bool]) -> float:
        """Share of the refits for which a statement holds."""
        return float(np.mean([holds(surface) for surface in self.refits]))

    def interval(self, number: Callable[[Surface], float]) -> tuple[float, float, float]:
        """A number of the surface, with the ends of its 95 % interval."""
        low, high = interval(np.array([number(surface) for surface in self.refits]))
        return float(number(self.fitted)), float(low), float(high)

    def _with_intervals(self, optima: Callable[[Surface], pd.DataFrame], column: str) -> pd.DataFrame:
        tables = [optima(surface) for surface in self.refits]
        low, high = interval(np.stack([table[column].to_numpy(float) for table in tables]))
        loss_low, loss_high = interval(np.stack([table["L"].to_numpy(float) for table in tables]))
        inside = np.mean([table["place"].to_numpy() == "inside" for table in tables], axis=0)
        return optima(self.fitted).assign(low=low, high=high, L_low=loss_low, L_high=loss_high, bracketed=inside)


def resample_surface(
    table: pd.DataFrame, degrees: Degrees | None = DEGREES, size: Size = "N", resamples: int = 400, seed: int = 0
) -> ResampledSurface:
    """Fit Eq. 8 to the runs of one budget (columns N or Na, S, L), and again to cells drawn with replacement.

    Without degrees, they are chosen as `choose_degrees` does, and again in each resample: intervals then include it.
    """
    rng = np.random.default_rng(seed)
    cells = [np.asarray(rows) for rows in table.groupby([size, "S"]).indices.values()]
    drawn = [np.concatenate([cells[i] for i in rng.integers(0, len(cells), len(cells))]) for _ in range(resamples)]
    if degrees is None:
        counts = np.stack([np.bincount(rows, minlength=len(table)) for rows in drawn]).astype(np.float64)
        chosen = choose_degrees_of_draws(table, counts, size)
    else:
        chosen = [degrees] * resamples
    refits = (fit_surface(table.iloc[rows], own, size) for rows, own in zip(drawn, chosen, strict=True))
    return ResampledSurface(fit_surface(table, degrees or choose_degrees(table, size), size), tuple(refits))


def without_effect(
    table: pd.DataFrame,
    noise: Any,
    degrees: Degrees | None = DEGREES,
    size: Size = "N",
    draws: int = 400,
    seed: int = 0,
) -> ResampledSurface:
    """Fits of Eq. 8 as if sparsity had no effect: the same runs, with losses that depend only on their `shape`.

    A shape's loss is its mean over all sparsities; each draw adds `noise` (standard deviation, nats; one number, or
    one per row). At a fixed budget sparse models of one shape have more parameters, so some statements about N hold
    even here. Without degrees, they are chosen for each draw, and those of the surface on the losses as they are.
    """
    rng = np.random.default_rng(seed)
    flat = table.assign(L=table.groupby("shape")["L"].transform("mean"))
    losses = np.stack([flat["L"] + noise * rng.standard_normal(len(flat)) for _ in range(draws)])
    if degrees is None:
        chosen = choose_degrees_of_draws(table, np.ones_like(losses), size, losses)
    else:
        chosen = [degrees] * draws
    refits = (fit_surface(flat.assign(L=own), its, size) for own, its in zip(losses, chosen, strict=True))
    return ResampledSurface(fit_surface(flat, degrees or choose_degrees(table, size), size), tuple(refits))


def among_runs(table: pd.DataFrame, n_params: Any, sparsity: Any, size: Size = "N") -> Array:
    """Whether points of size and sparsity are in the convex hull of the runs' log size and -log(1-S).

    A surface interpolates there. Returns booleans; arrays broadcast.
    """
    runs = np.column_stack([feature(size, table[size]), feature("S", table["S"])])
    scale = np.ptp(runs, axis=0)
    hull = Delaunay((runs - runs.min(axis=0)) / scale)
    points = np.stack(np.broadcast_arrays(feature(size, n_params), feature("S", sparsity)), axis=-1)
    return np.asarray(hull.find_simplex((points - runs.min(axis=0)) / scale, tol=1e-9) >= 0)
