"""The loss of our runs on running prose alone, without source code and API documentation, which repeats itself."""

from collections.abc import Sequence

import numpy as np

from moe_lib.data.corpus import Manifest
from moe_lib.ledger import Row
from moe_lib.repository import RESULTS

API = ("aws-api", "google-api", "api-docstrings")  # slices of prose whose phrases recur


def on_prose(rows: Sequence[Row]) -> list[Row]:
    """Finished rows whose `loss` is that on their corpus's slices of running prose, weighted by held-out tokens.

    Rows without these slices are left out.
    """
    found, weights = [], {name: _weights(name) for name in {row["config"]["corpus"] for row in rows}}
    for row in rows:
        own = weights[row["config"]["corpus"]]
        if row["status"] == "done" and own and own.keys() <= row.get("slices", {}).keys():
            parts = [row["slices"][name] for name in own]
            shares = np.array(list(own.values())) / sum(own.values())
            error = np.sqrt(sum((w * part["loss_standard_error"]) ** 2 for w, part in zip(shares, parts, strict=True)))
            loss = float(shares @ [part["loss"] for part in parts])
            found.append(row | {"loss": loss, "loss_standard_error": float(error)})
    return found


def _weights(corpus: str) -> dict[str, int]:
    """Held-out tokens of each slice of running prose of a corpus; empty if its manifest is not in the repository."""
    path = RESULTS / f"{corpus}-manifest.json"
    if not path.exists():
        return {}
    slices = Manifest.model_validate_json(path.read_text(encoding="utf-8")).slices
    return {part.name: part.n_heldout_tokens for part in slices if part.prose and part.name not in API}
