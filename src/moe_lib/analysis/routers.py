"""What the routers of our runs do after training."""

import numpy as np
import pandas as pd

from moe_lib.ledger import Row


def router_table(rows: list[Row]) -> pd.DataFrame:
    """Means over the runs of each sparsity: columns S, n (runs), experts, dead (share of experts never chosen), busiest
    (load of the most loaded expert of any layer over an even share), entropy (of the loads, over log E).

    Dense runs have no router and are left out.
    """
    table = pd.DataFrame(
        [
            {
                "S": row["sparsity"],
                "experts": experts,
                "dead": np.mean(row["router"]["n_dead"]) / experts,
                "busiest": np.max(row["router"]["load"]) * experts,
                "entropy": np.mean(row["router"]["entropy"]) / np.log(experts),
            }
            for row in rows
            if row.get("router")
            for experts in [row["config"]["model"]["n_experts"]]
        ],
        columns=["S", "experts", "dead", "busiest", "entropy"],
    )
    means = {name: (name, "mean") for name in ("dead", "busiest", "entropy")}
    return table.groupby("S", as_index=False).agg(n=("S", "size"), experts=("experts", "first"), **means)
