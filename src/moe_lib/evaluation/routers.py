"""Routers of a trained model on held-out text: how even the loads are, and how many experts are dead."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from moe_lib.evaluation.scoring import LanguageModel, home_of
from moe_lib.evaluation.upstream import windows_at_once

N_TOKENS = 65_536


def router_statistics(model: LanguageModel, tokens: npt.NDArray[np.uint16]) -> dict[str, Any] | None:
    """Statistics over the first 65,536 tokens, one entry per pass of a layer, in order (n_layers x layer_repeats).

    None for a model that does not route.

    `load`: each expert's share of the assignments (they sum to one); `n_dead`: number of experts that no token chose;
    `entropy`: of the router's probabilities, mean over tokens, nats.
    """
    context = model.config.context_length
    windows = tokens[: min(N_TOKENS, len(tokens)) // context * context].astype(np.int64).reshape(-1, context)
    if model.config.n_experts == 1 or not len(windows):
        return None
    loads, entropies, at_once = [], [], windows_at_once(model)
    with torch.no_grad():
        for start in range(0, len(windows), at_once):
            part_BT = torch.from_numpy(windows[start : start + at_once]).to(home_of(model))
            routings = getattr(model(part_BT, part_BT), "routings", ())
            if not routings:
                return None
            loads.append([routing.load_E.cpu().numpy() for routing in routings])
            entropies.append([float(routing.entropy) * len(part_BT) for routing in routings])
    load_LE = np.sum(loads, axis=0)
    share_LE = load_LE / load_LE.sum(axis=1, keepdims=True)
    return {
        "load": share_LE.round(6).tolist(),
        "n_dead": (load_LE == 0).sum(axis=1).tolist(),
        "entropy": (np.sum(entropies, axis=0) / len(windows)).round(5).tolist(),
    }
