"""Scores text: the likelihood that a model gives a continuation after a context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.data.corpus import end_of_text
from moe_lib.errors import InputError

TOKENS_AT_ONCE = 2_048  # small enough for a core's cache, which is faster
TOKENS_ON_A_GPU, LOGITS_ON_A_GPU = 65_536, 2**28  # at once
CPU = torch.device("cpu")


class ModelOutput(Protocol):
    """A model's result: logits, or with targets their negative log-likelihood (nats)."""

    @property
    def logits_BTV(self) -> Tensor | None: ...

    @property
    def nll_BT(self) -> Tensor | None: ...


class LanguageModel(Protocol):
    """A model that can be evaluated: takes int64 tokens [B, T], with T at most `config.context_length`."""

    @property
    def config(self) -> ModelConfig: ...

    def __call__(self, tokens_BT: Tensor, targets_BT: Tensor | None = None) -> ModelOutput: ...


def home_of(model: LanguageModel) -> torch.device:
    """The device of a model's weights; the CPU for one without."""
    weight = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return CPU if weight is None else weight.device


def tokens_at_once(model: LanguageModel) -> int:
    """How many tokens to evaluate at once: what a core's cache holds, or more on a GPU."""
    if home_of(model).type == "cpu":
        return TOKENS_AT_ONCE
    return min(TOKENS_ON_A_GPU, LOGITS_ON_A_GPU // model.config.vocab_size)


@dataclass(frozen=True)
class Request:
    """Token ids: the given context, and the continuation that is scored."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


@dataclass(frozen=True)
class Score:
    """`nll` (nats, summed over the continuation's `n_tokens`), whether greedy decoding would produce it, and
    whether the context was too long and lost its beginning."""

    nll: float
    n_tokens: int
    greedy: bool
    truncated: bool

    @property
    def nll_per_token(self) -> float:
        """Mean nats per token."""
        return self.nll / self.n_tokens


def encode_request(tokenizer: Tokenizer, context: str | Sequence[str], continuation: str) -> Request:
    """A request from text: the end-of-text token, then the context (its parts encoded apart), then the continuation.

    Raises `InputError` if no token is left to score.
    """
    parts = [context] if isinstance(context, str) else context
    ids = [token for part in parts for token in tokenizer.encode(part, add_special_tokens=False).ids]
    scored = tokenizer.encode(continuation, add_special_tokens=False).ids
    if not scored:
        raise InputError(f"answer {continuation!r} is empty after tokenization")
    return Request((end_of_text(tokenizer), *ids), tuple(scored))


def fits(model: LanguageModel, requests: Sequence[Request]) -> bool:
    """Whether every continuation is short enough for `score`."""
    return all(len(request.continuation) <= model.config.context_length for request in requests)


def score(model: LanguageModel, requests: Sequence[Request]) -> list[Score]:
    """Score requests, in their order. A context that does not fit is cut on its left and marked `truncated`.

    Raises `InputError` for a continuation that alone is longer than the model's context.
    """
    limit = model.config.context_length
    sequences = []
    for request in requests:
        if len(request.continuation) > limit:
            raise InputError(f"answer of {len(request.continuation)} tokens has to fit into context_length = {limit}")
        sequences.append([*request.context, *request.continuation][-limit - 1 :])
    scores: dict[int, Score] = {}
    for batch in _batches([len(sequence) - 1 for sequence in sequences], tokens_at_once(model)):
        nlls, greedy = _score_batch(
            model, [sequences[index] for index in batch], [len(requests[index].continuation) for index in batch]
        )
        for index, nll, same in zip(batch, nlls, greedy, strict=True):
            n_tokens = len(requests[index].continuation)
            truncated = len(sequences[index]) < len(requests[index].context) + n_tokens
            scores[index] = Score(float(nll.sum()), n_tokens, bool(same.all()), truncated)
    return [scores[index] for index in range(len(requests))]


def _batches(lengths: Sequence[int], at_once: int) -> Iterator[list[int]]:
    """Indices in batches of similar length."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if batch and (len(batch) + 1) * lengths[index] > at_once:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _score_batch(
    model: LanguageModel, sequences: Sequence[Sequence[int]], counts: Sequence[int]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Nats (float64) of the last `counts` tokens of each sequence, and whether each is the likeliest."""
    width = max(map(len, sequences)) - 1
    inputs_BT = torch.zeros(len(sequences), width, dtype=torch.int64)  # causal attention never sees right padding
    scored_BT = torch.zeros(len(sequences), width, dtype=torch.bool)
    for row, (sequence, count) in enumerate(zip(sequences, counts, strict=True)):
        inputs_BT[row, : len(sequence) - 1] = torch.tensor(sequence[:-1])
        scored_BT[row, len(sequence) - 1 - count : len(sequence) - 1] = True
    targets_N = torch.tensor([token for sequence, n in zip(sequences, counts, strict=True) for token in sequence[-n:]])
    home = home_of(model)
    targets_N = targets_N.to(home)
    with torch.no_grad():
        logits_BTV = model(inputs_BT.to(home)).logits_BTV
        assert logits_BTV is not None
        logits_NV = logits_BTV[scored_BT.to(home)].float()
    nll_N = torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none").double().cpu()
    greedy_N = (logits_NV.argmax(dim=-1) == targets_N).cpu()
    return torch.split(nll_N, list(counts)), torch.split(greedy_N, list(counts))
