"""Budgets side by side: which are complete, and what sparsity gains over the dense model at each."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.analysis.runs import cell_means, finished, isoflop_runs, surface_blocks
from moe_lib.config import RunConfig
from moe_lib.laws.isoflop import Size
from moe_lib.laws.parabola import gains_over_dense, parabola_scatter, parabolas
from moe_lib.ledger import Ledger
from moe_lib.sweeps import read_sweep

LEAST_SIZES = 5
NEEDED = (0, 0.75, 0.9, 0.98)  # sparsities, those of the thinned budgets


def complete_budgets(runs: pd.DataFrame, needed: Collection[float] = NEEDED) -> dict[float, pd.DataFrame]:
    """The cells of every budget of `isoflop_runs` that has five sizes of each needed sparsity.

    Another sparsity is in it once it has five sizes too; before, its cells are left out.
    """
    cells = {float(flops): cell_means(own) for flops, own in runs.groupby("C")}  # type: ignore[arg-type]
    whole = {flops: own[own.groupby("S")["L"].transform("size") >= LEAST_SIZES] for flops, own in cells.items()}
    return {flops: own.reset_index(drop=True) for flops, own in whole.items() if set(needed) <= set(own["S"])}


def progress(ledger: Ledger, sweep: Path) -> pd.DataFrame:
    """How far the surfaces of a sweep are: a row per budget.

    Columns C, done and asked (cells, with any number of seeds), seeds and seeds_asked (runs of cells with several),
    sparsities (of those asked, the number with five sizes), of (how many are asked for), and complete, as
    `complete_budgets`.
    """
    asked = pd.DataFrame([_cell(run) for run in read_sweep(sweep, *surface_blocks(sweep))]).drop_duplicates()
    rows = finished(ledger, *surface_blocks(sweep), sweep=sweep)
    asked["done"] = asked["key"].isin({row["key"] for row in rows})
    whole = complete_budgets(isoflop_runs(rows)) if rows else {}
    table = []
    for flops, own in asked.groupby("C"):
        cells = own.groupby(["S", "shape"])["done"].agg(["sum", "size"])
        sizes = (cells["sum"] > 0).groupby("S").sum()
        several = cells[cells["size"] > 1]
        table.append(
            {"C": flops, "done": int((cells["sum"] > 0).sum()), "asked": len(cells), "seeds": int(several["sum"].sum()),
             "seeds_asked": int(several["size"].sum()), "sparsities": int((sizes >= LEAST_SIZES).sum()),
             "of": len(sizes), "complete": flops in whole}
        )  # fmt: skip
    return pd.DataFrame(table)


def _cell(run: RunConfig) -> dict[str, Any]:
    shape = f"{run.model.d_model} x {run.model.n_layers}"
    return {"key": run.key, "C": run.training.flops, "S": run.model.sparsity, "shape": shape}


def gains_by_budget(cells: dict[float, pd.DataFrame], size: Size) -> tuple[pd.DataFrame, dict[float, float]]:
    """Parabolas of each budget's cells, with `gain` over dense and its `error`, and the scatter about them, nats.

    The scatter of a budget is the noise of its intervals. If cells have a column `noise`, the scatter is divided
    among sizes in its proportion.
    """
    scatter = {flops: parabola_scatter(own, size) for flops, own in cells.items()}
    fits = [parabolas(own, size, noise=_spread(own, scatter[flops])) for flops, own in cells.items()]
    return pd.concat([own.merge(gains_over_dense(own), on="S") for own in fits], ignore_index=True), scatter


def _spread(cells: pd.DataFrame, scatter: float) -> Any:
    if "noise" not in cells:
        return scatter
    noise = cells["noise"].to_numpy(float)
    return scatter * noise / np.sqrt(np.mean(noise**2))


def compute_multiples(fits: pd.DataFrame) -> pd.DataFrame:
    """What sparsity is worth in compute: the fits of `gains_by_budget` with `multiple` and `beyond`.

    The multiple is the dense model's budget with the loss of S over S's own budget; between budgets the dense loss is
    interpolated in log C. If no dense run has so low a loss, `multiple` is that of the largest budget and `beyond` is
    true: the sparse model is worth at least so much. With one budget every gain is `beyond`, at a multiple of one.
    """
    dense = fits[fits["S"] == 0].sort_values("C")
    log_budget, loss = np.log(dense["C"].to_numpy(float)), np.minimum.accumulate(dense["L"].to_numpy(float))
    own = np.log(fits["C"].to_numpy(float))
    as_good = np.interp(-fits["L"].to_numpy(float), -loss, log_budget)
    return fits.assign(multiple=np.exp(as_good - own), beyond=fits["L"] < loss[-1])


def gains_by_shape(cells: pd.DataFrame, sparsities: Collection[float]) -> pd.DataFrame:
    """What sparsities gain over dense at one shape: a row per shape with `steps` of the dense run in thousands of
    1,024 tokens, and a column of nats per sparsity; smallest shape first."""
    by_sparsity = {s: own.set_index("shape") for s, own in cells.groupby("S")}
    dense = by_sparsity[0.0].sort_values("Na")
    columns: dict[Any, Any] = {"steps": dense["D"] / 1024e3}
    columns |= {s: dense["L"] - by_sparsity[s]["L"] for s in sparsities}
    return pd.DataFrame(columns).loc[dense.index].reset_index()
