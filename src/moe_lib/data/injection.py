"""Fact injection: whole windows of passages about invented people, spread over a run's training.

The number of people follows from the run's tokens, so that every run, long or short, injects a fact of exposure 64
exactly 64 times.
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

PILOT = 4  # people per exposure in a small world that measures how many windows a person needs


@dataclass(frozen=True)
class Injection:
    """The injected facts of a run.

    `windows_WT`: uint16 [W, context_length + 1], each read once; `positions_W`: their positions among all windows of
    the run, ascending.
    """

    world: World
    windows_WT: Tokens
    positions_W: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.windows_WT)

    def rank(self, position: int) -> tuple[int, bool]:
        """How many injected windows precede a position, and whether one is at it."""
        before, after = np.searchsorted(self.positions_W, [position, position + 1])
        return int(before), bool(after > before)


def inject_facts(tokenizer: "Tokenizer", share: float, n_windows: int, context_length: int, seed: int) -> Injection:
    """Inject the facts of as many people as fit into a share of the windows, at positions drawn with `seed`.

    Raises `InputError` if one person of each exposure does not fit, or if a passage does not fit into the context.
    """
    capacity = int(share * n_windows)
    people = capacity * PILOT // len(_pack(tokenizer, World(SEED, PILOT), context_length))
    if people < 1:
        raise InputError(
            f"training.fact_share = {share:g} of {n_windows:,} windows is too small to inject a fact {max(EXPOSURES)} "
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
    """Passages packed into windows, each behind an end-of-text token; none is cut, and end-of-text fills the rest."""
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
