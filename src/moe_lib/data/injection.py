"""Fact injection: whole windows of passages about invented people, spread over a run's training.

The number of people follows from the run's own tokens, so that facts with an exposure of 64 are injected 64 times in
every run, long or short.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from moe_lib.budget import Plan
from moe_lib.data.corpus import Tokens, end_of_text
from moe_lib.data.facts import EXPOSURES, SEED, World
from moe_lib.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PILOT = 4  # people per exposure, from whom the room that one takes is measured


@dataclass(frozen=True)
class Injection:
    """The injected facts of a run: `windows_WT` uint16 [W, context_length + 1], each read once, and `positions_W`
    (ascending), their places among all windows that the run reads."""

    world: World
    windows_WT: Tokens
    positions_W: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.windows_WT)

    def rank(self, position: int) -> tuple[int, bool]:
        """How many injected windows are before a position, and whether one is there."""
        before, after = np.searchsorted(self.positions_W, [position, position + 1])
        return int(before), bool(after > before)


def inject_facts(tokenizer: "Tokenizer", share: float, n_windows: int, context_length: int, seed: int) -> Injection:
    """As many people as a share of a run's windows has room for, injected at places that `seed` draws.

    Raises `InputError` where there is no room for one person of each exposure, or where the context is too short
    for a passage.
    """
    capacity = int(share * n_windows)
    people = capacity * PILOT // len(_pack(tokenizer, World(SEED, PILOT), context_length))
    if people < 1:
        raise InputError(
            f"training.fact_share = {share:g} of {n_windows:,} windows is too little to inject a fact {max(EXPOSURES)} "
            "times; set it to 0, or train on more tokens"
        )
    world = World(SEED, people)
    windows_WT = _pack(tokenizer, world, context_length)
    places = np.random.default_rng((seed, SEED)).choice(n_windows, len(windows_WT), replace=False)
    return Injection(world, windows_WT, np.sort(places))


def injection(plan: Plan, tokenizer: "Tokenizer") -> Injection | None:
    """The injected facts of a run; None if its `fact_share` is 0."""
    training = plan.run.training
    if not training.fact_share:
        return None
    return inject_facts(tokenizer, training.fact_share, plan.n_windows, plan.run.model.context_length, training.seed)


def _pack(tokenizer: "Tokenizer", world: World, context_length: int) -> Tokens:
    """Passages one after the other, each after an end of text; none is cut, and ends of text fill what is left."""
    end, width = end_of_text(tokenizer), context_length + 1
    rows: list[list[int]] = [[]]
    for encoding in tokenizer.encode_batch_fast(world.passages()):
        passage = [end, *encoding.ids]
        if len(passage) > width:
            raise InputError(
                f"context_length = {context_length} is too short to inject facts: a passage has {len(passage) - 1} "
                "tokens"
            )
        if len(rows[-1]) + len(passage) > width:
            rows.append([])
        rows[-1].extend(passage)
    return np.array([row + [end] * (width - len(row)) for row in rows], dtype=np.uint16)
