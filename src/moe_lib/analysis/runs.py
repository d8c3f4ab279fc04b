"""The selection of our runs, and their rows as a table in the paper's symbols."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from moe_lib.errors import InputError
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import GRID, require
from moe_lib.sweeps import SweepConfig, read_sweep

UNIT = 1e13  # FLOPs: the paper's middle budget times 1e-7, whose surface chapters look at first
# Blocks of a grid whose runs make up its isoFLOP surfaces; a grid has some of them. `lowest` is in another regime.
SURFACES = ("surface", "noise", "budgets", "higher")
LEDGER_COLUMNS = {
    "N": "n_params",
    "Na": "n_params_active",
    "D": "n_tokens",
    "S": "sparsity",
    "C": "flops",
    "L": "loss",
}


def finished(ledger: Ledger, *blocks: str, sweep: Path | None = None) -> list[Row]:
    """Ledger rows of a sweep's runs (default: the grid), or of some of its blocks, in its order.

    Runs without a row are left out.
    `InputError` for an unknown block, a file that cannot be read, or if the package was installed without the grid.
    """
    path = sweep or require(GRID, "the selection of our runs")
    return ledger.select(run.key for run in read_sweep(path, *blocks))


def census(ledger: Ledger, selections: Iterable[tuple[Path, tuple[str, ...]]]) -> pd.DataFrame:
    """How far sweeps or blocks of them are: columns sweep, blocks, done, asked and diverged (of the done), in runs."""
    table = []
    for sweep, blocks in selections:
        rows = finished(ledger, *blocks, sweep=sweep)
        diverged = sum(row["status"] == "diverged" for row in rows)
        named = {"sweep": sweep.name, "blocks": " + ".join(blocks)}
        table.append(named | {"done": len(rows), "asked": len(read_sweep(sweep, *blocks)), "diverged": diverged})
    return pd.DataFrame(table)


def surface_blocks(sweep: Path) -> tuple[str, ...]:
    """The blocks of a sweep file that make up its isoFLOP surfaces; `InputError` if it cannot be read."""
    names = {block.name for block in SweepConfig.from_yaml(sweep).blocks}
    return tuple(name for name in SURFACES if name in names)


def surface_rows(ledger: Ledger, sweep: Path | None = None) -> list[Row]:
    """The rows of a grid's isoFLOP surfaces (default: the grid of the chapters), diverged runs included.

    This is THE selection that surfaces, laws and chapters share. It leaves out tuning, trials and controls.
    `InputError` if they read different texts.
    """
    path = sweep or require(GRID, "the selection of our runs")
    rows = finished(ledger, *surface_blocks(path), sweep=path)
    texts = {row.get("corpus_digest") for row in rows}
    if len(texts) > 1:
        raise InputError(f"{ledger.path}: has runs on {len(texts)} different texts, whose losses cannot be compared")
    return rows


def surface_runs(ledger: Ledger, budget: float | None = None, sweep: Path | None = None) -> pd.DataFrame:
    """`surface_rows` at one `budget` or all, as a table of `isoflop_runs` with one row per seed.

    `InputError` if the ledger has none of these runs, or if they read different texts.
    """
    path = sweep or require(GRID, "the selection of our runs")
    table = isoflop_runs(surface_rows(ledger, path))
    if not table.empty and budget is not None:
        table = table[table["C"] == budget].reset_index(drop=True)
    if table.empty:
        at = "" if budget is None else f" at {budget:g} FLOPs"
        blocks = ", ".join(surface_blocks(path))
        raise InputError(f"{ledger.path}: has no finished runs of the blocks {blocks} of {path.name}{at}")
    return table


def isoflop_runs(rows: Iterable[Row]) -> pd.DataFrame:
    """Ledger rows in symbols: N, Na, D, S, L and C (the requested budget), `se`, `shape` and `seed`.

    `se` is the standard error of L over held-out documents, `shape` is d_model x n_layers. Runs that diverged have no
    loss and are left out.
    """
    table = [
        {symbol: row[name] for symbol, name in LEDGER_COLUMNS.items()}
        | {
            "C": row["config"]["training"]["flops"],
            "se": row["loss_standard_error"],
            "shape": f"{row['config']['model']['d_model']} x {row['config']['model']['n_layers']}",
            "seed": row["config"]["training"]["seed"],
        }
        for row in rows
        if row["status"] == "done"
    ]
    return pd.DataFrame(table)


def cell_means(runs: pd.DataFrame) -> pd.DataFrame:
    """The mean over the `n` seeds of each cell of `isoflop_runs`; a cell is one budget, sparsity and shape.

    In a fit a cell with three seeds then weighs no more than a cell with one.
    """
    columns = {name: (name, "mean") for name in ("N", "Na", "D", "L")}
    return runs.groupby(["C", "S", "shape"], as_index=False).agg(**columns, n=("L", "size"))
