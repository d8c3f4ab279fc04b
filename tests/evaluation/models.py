"""Models whose answers are known: one knows nothing, one only copies from its context, one only remembers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.data import TokenCorpus
from moe_lib.data.facts import World

SURE = 8.0  # logit of what a model believes; all else has 0


@dataclass(frozen=True)
class Answer:
    logits_BTV: Tensor | None
    nll_BT: Tensor | None


class Guesser:
    """Every token is as likely as any other."""

    def __init__(self, vocab_size: int, context_length: int = 256) -> None:
        self.config = ModelConfig(
            d_model=2, n_layers=1, n_heads=1, vocab_size=vocab_size, context_length=context_length
        )

    def believe(self, tokens: list[int], at: int) -> int | None:
        return None

    def __call__(self, tokens_BT: Tensor, targets_BT: Tensor | None = None) -> Answer:
        assert tokens_BT.shape[1] <= self.config.context_length
        logits_BTV = torch.zeros(*tokens_BT.shape, self.config.vocab_size)
        for row, tokens in enumerate(tokens_BT.tolist()):
            for at in range(len(tokens)):
                token = self.believe(tokens, at)
                if token is not None:
                    logits_BTV[row, at, token] = SURE
        if targets_BT is None:
            return Answer(logits_BTV, None)
        nll_N = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
        return Answer(None, nll_N.view_as(targets_BT))


class Copier(Guesser):
    """Expects what followed the longest earlier stretch of its context that reads like its end."""

    def believe(self, tokens: list[int], at: int) -> int | None:
        best, found = 1, None
        for before in range(at - 1, 0, -1):
            length = 0
            while length <= before and tokens[before - length] == tokens[at - length]:
                length += 1
            if length > best:
                best, found = length, tokens[before + 1]
        return found


class Rememberer(Guesser):
    """Expects what followed the longest stretch that the injected facts share with the end of its context."""

    WIDTHS = range(16, 3, -1)

    def __init__(self, corpus: TokenCorpus, world: World) -> None:
        super().__init__(corpus.vocab_size)
        self.memory: dict[tuple[int, ...], int] = {}
        for text in world.passages():
            ids = corpus.tokenizer.encode(text).ids
            for width in self.WIDTHS:
                self.memory |= {tuple(ids[at - width : at]): ids[at] for at in range(width, len(ids))}

    def believe(self, tokens: list[int], at: int) -> int | None:
        stretches = (tuple(tokens[max(0, at + 1 - width) : at + 1]) for width in self.WIDTHS)
        return next((self.memory[stretch] for stretch in stretches if stretch in self.memory), None)
