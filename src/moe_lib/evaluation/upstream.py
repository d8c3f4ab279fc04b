"""The upstream loss on a fixed held-out set, in nats per token and bits per byte, total and by slice."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moe_lib.data import TokenCorpus
from moe_lib.evaluation.scoring import LanguageModel, home_of, tokens_at_once

WINDOWS_AT_ONCE = 16
MIN_TOKENS = 300_000

Floats = npt.NDArray[np.float64]


def windows_at_once(model: LanguageModel) -> int:
    """How many windows of the context length to evaluate at once."""
    if home_of(model).type == "cpu":
        return WINDOWS_AT_ONCE
    return max(1, tokens_at_once(model) // model.config.context_length)


def token_losses(model: LanguageModel, tokens: npt.NDArray[np.uint16]) -> Floats:
    """Negative log-likelihood (nats) of every token but the first, in windows of the model's context length.

    A token sees the earlier tokens of its window; windows do not overlap.
    """
    context = model.config.context_length
    at_once = windows_at_once(model) * context
    stream = torch.from_numpy(tokens.astype(np.int64)).to(home_of(model))
    losses: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(stream) - 1, at_once):
            part = stream[start : start + at_once + 1]
            whole = (len(part) - 1) // context * context
            for first, stop, width in ((0, whole, context), (whole, len(part) - 1, len(part) - 1 - whole)):
                if stop > first:
                    inputs, targets = (part[first + shift : stop + shift].view(-1, width) for shift in (0, 1))
                    nll_BT = model(inputs, targets).nll_BT
                    assert nll_BT is not None
                    losses.append(nll_BT.flatten().double())
    return torch.cat(losses).cpu().numpy()


def heldout_losses(model: LanguageModel, corpus: TokenCorpus) -> tuple[npt.NDArray[np.uint16], Floats]:
    """The fixed held-out set, and the loss of all its tokens except the very first.

    The set is the first whole documents with at least 300,000 tokens in total (or all, if there are fewer). Documents
    are ordered by their hashes, so the set samples every slice.
    """
    stops = corpus.heldout_documents["stop"].to_numpy()
    last = min(int(np.searchsorted(stops, MIN_TOKENS)), len(stops) - 1)
    tokens = np.asarray(corpus.heldout[: stops[last]])
    return tokens, token_losses(model, tokens)


def upstream_loss(corpus: TokenCorpus, losses: Floats) -> dict[str, Any]:
    """Loss over the held-out documents that `heldout_losses` covers, total and by slice.

    `loss` in nats per token, `loss_standard_error` over documents (ratio estimator), `bits_per_byte` of their text.
    """
    losses = np.concatenate([[0.0], losses])
    documents = corpus.heldout_documents
    documents = documents[documents["stop"] <= len(losses)]
    starts, stops = documents["start"].to_numpy(), documents["stop"].to_numpy()
    cumulative = np.concatenate([[0.0], np.cumsum(losses)])
    nll = cumulative[stops] - cumulative[starts]
    counts = (stops - starts - (starts == 0)).astype(float)  # the very first token has no context and no loss
    n_bytes = documents["n_bytes"].to_numpy(dtype=float)
    slices = documents["slice"].to_numpy()
    return {
        **_loss_over(nll, counts, n_bytes),
        "n_heldout_tokens": int(counts.sum()),
        "n_heldout_documents": len(documents),
        "slices": {
            str(name): _loss_over(nll[slices == name], counts[slices == name], n_bytes[slices == name])
            for name in sorted(set(slices))
        },
    }


def _loss_over(nll: Floats, counts: Floats, n_bytes: Floats) -> dict[str, float]:
    loss = nll.sum() / counts.sum()
    n = len(nll)
    spread = math.sqrt(n / max(n - 1, 1) * float(((nll - loss * counts) ** 2).sum()))
    return {
        "loss": float(loss),
        "loss_standard_error": float(spread / counts.sum()),
        "bits_per_byte": float(nll.sum() / math.log(2) / n_bytes.sum()),
    }
