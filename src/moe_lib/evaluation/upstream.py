"""The upstream loss: a fixed held-out set, in nats a token and bits a byte, total and by slice."""

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.data import TokenCorpus

WINDOWS_AT_ONCE = 16
MAX_TOKENS = 500_000

Floats = npt.NDArray[np.float64]


class Scored(Protocol):
    """What a model returns when it is given targets."""

    @property
    def nll_BT(self) -> Tensor | None:
        """Negative log-likelihood of each target, nats."""
        ...


class LanguageModel(Protocol):
    """What is evaluated."""

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        ...

    def __call__(self, tokens_BT: Tensor, targets_BT: Tensor) -> Scored:
        """Score targets."""
        ...


def token_losses(model: LanguageModel, tokens: npt.NDArray[np.uint16]) -> Floats:
    """Negative log-likelihood (nats) of every token but the first, in windows of the model's context length.

    A token sees what stands before it in its window; windows follow each other without overlap.
    """
    context = model.config.context_length
    stream = torch.from_numpy(tokens.astype(np.int64))
    losses: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(stream) - 1, WINDOWS_AT_ONCE * context):
            part = stream[start : start + WINDOWS_AT_ONCE * context + 1]
            whole = (len(part) - 1) // context * context
            for first, stop, width in ((0, whole, context), (whole, len(part) - 1, len(part) - 1 - whole)):
                if stop > first:
                    inputs, targets = (part[first + shift : stop + shift].view(-1, width) for shift in (0, 1))
                    nll_BT = model(inputs, targets).nll_BT
                    assert nll_BT is not None
                    losses.append(nll_BT.flatten().double())
    return torch.cat(losses).numpy()


def upstream_loss(model: LanguageModel, corpus: TokenCorpus, max_tokens: int = MAX_TOKENS) -> dict[str, Any]:
    """Loss on the held-out documents (at most the first `max_tokens` tokens), total and by slice.

    `loss` in nats a token, `loss_standard_error` over documents (ratio estimator), `bits_per_byte` of their text.
    """
    tokens = corpus.heldout[:max_tokens]
    losses = np.concatenate([[0.0], token_losses(model, tokens)])
    documents = corpus.heldout_documents
    documents = documents[documents["stop"] <= len(tokens)]
    starts, stops = documents["start"].to_numpy(), documents["stop"].to_numpy()
    cumulative = np.concatenate([[0.0], np.cumsum(losses)])
    nll = cumulative[stops] - cumulative[starts]
    counts = (stops - starts - (starts == 0)).astype(float)  # the very first token has nothing before it
    n_bytes = documents["n_bytes"].to_numpy(dtype=float)
    slices = documents["slice"].to_numpy()
    return {
        **_summary(nll, counts, n_bytes),
        "n_heldout_tokens": int(counts.sum()),
        "slices": {
            str(name): _summary(nll[slices == name], counts[slices == name], n_bytes[slices == name])
            for name in sorted(set(slices))
        },
    }


def _summary(nll: Floats, counts: Floats, n_bytes: Floats) -> dict[str, float]:
    loss = nll.sum() / counts.sum()
    n = len(nll)
    spread = math.sqrt(n / max(n - 1, 1) * float(((nll - loss * counts) ** 2).sum()))
    return {
        "loss": float(loss),
        "loss_standard_error": float(spread / counts.sum()),
        "bits_per_byte": float(nll.sum() / math.log(2) / n_bytes.sum()),
    }
