"""Batches by step number: there is no state to save, and a resumed run reads the same batches."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from moe_lib.errors import InputError

if TYPE_CHECKING:
    import torch

    from moe_lib.data.corpus import Tokens
    from moe_lib.data.injection import Injection


class BatchStream:
    """Windows of `context_length` tokens; `seed` permutes their order anew each epoch.

    `injected` windows replace them at their own positions. Raises `InputError` if the tokens do not fill one batch.
    """

    def __init__(
        self, tokens: "Tokens", batch_size: int, context_length: int, seed: int, injected: "Injection | None" = None
    ) -> None:
        self.tokens, self.batch_size, self.context_length, self.seed = tokens, batch_size, context_length, seed
        self.injected = injected
        self.n_windows = (len(tokens) - 1) // context_length
        if self.n_windows < batch_size:
            raise InputError(
                f"batch_size = {batch_size} with context_length = {context_length} needs at least "
                f"{batch_size * context_length + 1:,} tokens, and the corpus has {len(tokens):,}"
            )
        self._order = lru_cache(maxsize=2)(self._permutation)

    def batch(self, step: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """Inputs and targets of a step (0-based): int64 [batch_size, context_length]; targets are one token ahead."""
        import torch

        first = step * self.batch_size
        windows = [self._window(position) for position in range(first, first + self.batch_size)]
        rows = torch.from_numpy(np.stack(windows).astype(np.int64))
        return rows[:, :-1], rows[:, 1:]

    def epochs_at(self, step: int) -> float:
        """How often the corpus has been read after `step` steps; above 1 it has been repeated."""
        position = step * self.batch_size
        return (position - self._rank(position)[0]) / self.n_windows

    def _rank(self, position: int) -> tuple[int, bool]:
        return self.injected.rank(position) if self.injected else (0, False)

    def _window(self, position: int) -> "Tokens":
        rank, is_injected = self._rank(position)
        if self.injected and is_injected:
            window: Tokens = self.injected.windows_WT[rank]
            return window
        epoch, index = divmod(position - rank, self.n_windows)
        start = int(self._order(epoch)[index]) * self.context_length
        return self.tokens[start : start + self.context_length + 1]

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.n_windows)
