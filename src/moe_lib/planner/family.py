"""Families of shapes that can be built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moe_lib.accounting import Convention
from moe_lib.config import ModelConfig
from moe_lib.paper import ASPECT, CONTEXT, VOCABULARY


@dataclass(frozen=True)
class Family:
    """Shapes of one aspect and how they are trained; K = G, so a token uses the width of one base MLP.

    d_model is a multiple of `d_head` (also the head width), n_layers is the nearest whole number to d_model / aspect.
    `training` are fields of a `TrainingConfig`; None takes those that the runs of the book's grid share.
    """

    name: str
    d_head: int
    aspect: int
    vocab_size: int
    context_length: int
    tied_embeddings: bool
    training: Mapping[str, Any] | None = None

    @property
    def convention(self) -> Convention:
        """The convention by which N_a counts the embeddings as built."""
        return "one-embedding" if self.tied_embeddings else "two-embeddings"

    def model(self, heads: int, n_experts: int, granularity: int = 1) -> ModelConfig:
        """The model of `heads` attention heads and E experts per layer, G of them active."""
        d = heads * self.d_head
        return ModelConfig(
            d_model=d,
            n_layers=max(1, round(d / self.aspect)),
            n_heads=heads,
            n_experts=n_experts,
            n_experts_active=granularity,
            granularity=granularity,
            vocab_size=self.vocab_size,
            context_length=self.context_length,
            tied_embeddings=self.tied_embeddings,
        )


_TRAINING = {"batch_size": 1024, "learning_rate": 2e-3}  # Table 1, the middle one of its rates
PAPER = Family("paper", ASPECT, ASPECT, VOCABULARY, CONTEXT, False, _TRAINING)
OURS = Family("ours", 24, 32, 1024, 256, True)  # experiments/grid.yaml
FAMILIES = {family.name: family for family in (PAPER, OURS)}
