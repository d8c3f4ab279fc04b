"""Budgets side by side: which are complete, and what sparsity gains over the dense model at each."""

from collections.abc import Collection
from typing import Any

import pandas as pd

from moe_lib.analysis.runs import cell_means
from moe_lib.laws.isoflop import Size
from moe_lib.laws.parabola import gains_over_dense, parabola_scatter, parabolas

LEAST_SIZES = 5
NEEDED = (0, 0.75, 0.9, 0.98)  # sparsities, those of the thinned budgets


def complete_budgets(runs: pd.DataFrame, needed: Collection[float] = NEEDED) -> dict[float, pd.DataFrame]:
    """The cells of every budget of `isoflop_runs` that has the needed sparsities, and five sizes of each of its own."""
    cells = {flops: cell_means(own) for flops, own in runs.groupby("C")}
    return {
        float(flops): own  # type: ignore[arg-type]
        for flops, own in cells.items()
        if own.groupby("S").size().min() >= LEAST_SIZES and set(needed) <= set(own["S"])
    }


def gains_by_budget(cells: dict[float, pd.DataFrame], size: Size) -> tuple[pd.DataFrame, dict[float, float]]:
    """Parabolas of each budget's cells, with `gain` over dense and its `error`, and the scatter about them, nats.

    The scatter of a budget is the noise of its intervals.
    """
    scatter = {flops: parabola_scatter(own, size) for flops, own in cells.items()}
    fits = [parabolas(own, size, noise=scatter[flops]) for flops, own in cells.items()]
    return pd.concat([own.merge(gains_over_dense(own), on="S") for own in fits], ignore_index=True), scatter


def gains_by_shape(cells: pd.DataFrame, sparsities: Collection[float]) -> pd.DataFrame:
    """What sparsities gain over dense at one shape: a row per shape with `steps` of the dense run in thousands of
    1,024 tokens, and a column of nats per sparsity; smallest shape first."""
    by_sparsity = {s: own.set_index("shape") for s, own in cells.groupby("S")}
    dense = by_sparsity[0.0].sort_values("Na")
    columns: dict[Any, Any] = {"steps": dense["D"] / 1024e3}
    columns |= {s: dense["L"] - by_sparsity[s]["L"] for s in sparsities}
    return pd.DataFrame(columns).loc[dense.index].reset_index()
