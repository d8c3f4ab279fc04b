"""How much sparsity gains, by every route to an optimum."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from moe_lib.laws.isoflop import Size


def gain_by_route(
    routes: Mapping[str, Mapping[Size, pd.DataFrame]], sparsities: Collection[float] = (0.75, 0.95, 0.98)
) -> pd.DataFrame:
    """A row per route and size, N or N_a, from tables of optima with columns S, L and the size, dense first.

    Columns route, size, the gain over dense in nats under each of `sparsities`, last_step (gain of the highest sparsity
    over the one before), dense and sparsest (best sizes at the two ends).
    """
    rows = []
    for route, tables in routes.items():
        for size, table in tables.items():
            at = table.set_index("S")
            gain = at["L"].iloc[0] - at["L"]
            row: dict[Any, Any] = {"route": route, "size": size, "last_step": gain.iloc[-1] - gain.iloc[-2]}
            rows.append(
                row | gain[list(sparsities)].to_dict() | {"dense": at[size].iloc[0], "sparsest": at[size].iloc[-1]}
            )
    return pd.DataFrame(rows)


def lowest_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cell of lowest loss of each sparsity."""
    return cells.loc[cells.groupby("S")["L"].idxmin()]


def share_monotone(tables: Sequence[pd.DataFrame]) -> float:
    """Share of tables of optima in which the loss falls at every step from one sparsity to the next."""
    return sum(bool((table["L"].diff().dropna() < 0).all()) for table in tables) / len(tables)
