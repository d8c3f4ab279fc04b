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

        windows = [self._window(start) for start in self.starts(step, step + 1)[0]]
        rows = torch.from_numpy(np.stack(windows).astype(np.int64))
        return rows[:, :-1], rows[:, 1:]

    def starts(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Where the windows of steps first to last - 1 begin, [steps, batch_size]; each has context_length + 1 tokens.

        They count in the corpus's tokens followed by all injected windows.
        """
        positions = range(first * self.batch_size, last * self.batch_size)
        return np.array([self._start(position) for position in positions], dtype=np.int64).reshape(-1, self.batch_size)

    def whole(self) -> "Tokens":
        """The corpus's tokens followed by all injected windows, uint16."""
        injected = self.injected.windows_WT.flatten() if self.injected else ()
        return np.concatenate([self.tokens, np.asarray(injected, dtype=np.uint16)])

    def epochs_at(self, step: int) -> float:
        """How often the corpus has been read after `step` steps; above 1 it has been repeated."""
        position = step * self.batch_size
        return (position - self._rank(position)[0]) / self.n_windows

    def _rank(self, position: int) -> tuple[int, bool]:
        return self.injected.rank(position) if self.injected else (0, False)

    def _start(self, position: int) -> int:
        rank, is_injected = self._rank(position)
        if is_injected:
            return len(self.tokens) + rank * (self.context_length + 1)
        epoch, index = divmod(position - rank, self.n_windows)
        return int(self._order(epoch)[index]) * self.context_length

    def _window(self, start: int) -> "Tokens":
        if self.injected and start >= len(self.tokens):
            window: Tokens = self.injected.windows_WT[(start - len(self.tokens)) // (self.context_length + 1)]
            return window
        return self.tokens[start : start + self.context_length + 1]

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(self.n_windows)
