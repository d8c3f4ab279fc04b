"""How a run learns: when the anatomist measures it, and at which steps its two transitions happened."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_lib.data import TokenCorpus
from moe_lib.data.bigrams import unigram_and_bigram_loss
from moe_lib.model.anatomy import OVERALL, PER_LAYER, SEQUENCES, Anatomist

LOOKS = 40
FIRST_LOOK = 1 / 200  # of a run's steps
SMOOTHED = 20  # steps over which the loss is averaged before it is compared with the bigram model's
COPIED = 0.5  # nats per token that repetition saves once a model copies
DIGITS = 4


def look_steps(n_steps: int) -> list[int]:
    """Steps after which the anatomist measures a run: 0, then evenly spaced in the logarithm up to the last."""
    later = np.geomspace(max(1.0, n_steps * FIRST_LOOK), n_steps, LOOKS).round().astype(int)
    return [0, *np.unique(later).tolist()]


def anatomist_of(corpus: TokenCorpus, context_length: int) -> Anatomist | None:
    """The anatomist for runs on this corpus; None if its held-out text is too short for the context."""
    text = np.asarray(corpus.heldout[: SEQUENCES * context_length], dtype=np.int64)
    if len(text) < SEQUENCES * context_length or context_length < 4:
        return None
    return Anatomist(torch.from_numpy(text.reshape(SEQUENCES, context_length)))


def dynamics(corpus: TokenCorpus, losses: Tensor, looks: Tensor) -> dict[str, Any]:
    """The part of a ledger row about a run's learning.

    `losses` [n_steps] are the training losses, `looks` [n_looks, n_values] the anatomist's vectors at `look_steps`
    (NaN if there was none). The result has `step`, the anatomist's values at those steps, by layer pass if they have
    one, and
    - `unigram_loss`, `bigram_loss`: held-out losses of the two models without attention, nats per token;
    - `bigram_step`, the first transition: steps until the training loss, a mean over 20 steps, was nearer to the
      bigram model's loss than to the unigram model's;
    - `copy_step`, the second: steps until repeated tokens cost 0.5 nats less than when first read, and stayed so.
    A step that never came is None.
    """
    steps = np.array(look_steps(len(losses)))
    values = looks.double().numpy()
    taken = np.isfinite(values[:, :1]).all(axis=1)
    steps, values = steps[taken], values[taken]
    overall, layers = values[:, : len(OVERALL)], values[:, len(OVERALL) :]
    layers = layers.reshape(len(steps), layers.shape[1] // len(PER_LAYER), len(PER_LAYER))
    unigram, bigram = unigram_and_bigram_loss(corpus) or (None, None)
    return {
        "step": steps.tolist(),
        **{name: overall[:, i].round(DIGITS).tolist() for i, name in enumerate(OVERALL)},
        **{name: layers[:, :, i].round(DIGITS).tolist() for i, name in enumerate(PER_LAYER)},
        "unigram_loss": unigram,
        "bigram_loss": bigram,
        "bigram_step": _step_below(losses.double().numpy(), (unigram + bigram) / 2) if unigram and bigram else None,
        "copy_step": _copy_step(steps, overall[:, 0] - overall[:, 1]),
    }


def _step_below(losses: np.ndarray, level: float) -> int | None:
    """The last of the first twenty consecutive steps whose mean loss is below a level."""
    if len(losses) < SMOOTHED:
        return None
    below = np.convolve(losses, np.full(SMOOTHED, 1 / SMOOTHED), mode="valid") < level
    return int(np.argmax(below)) + SMOOTHED if below.any() else None


def _copy_step(steps: np.ndarray, gains: np.ndarray) -> int | None:
    """The first measured step from which on every gain is large; None if there is none."""
    not_yet = np.flatnonzero(gains <= COPIED)
    first = int(not_yet[-1]) + 1 if len(not_yet) else 0
    return int(steps[first]) if first < len(steps) else None
