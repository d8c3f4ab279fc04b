"""Parameters and FLOPs of a model, counted from its configuration alone (Appendices A.2 and C).

FLOPs are per token, forward and backward together. A multiply and an add are two FLOPs, the backward pass costs
twice the forward pass: 6 FLOPs per weight. As in the paper, attention counts all n_ctx positions (no causal
halving), and norms, non-linearities, rotary positions and the embedding look-up are left out.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from moe_lib.config import MLP_RATIO, ModelConfig
from moe_lib.errors import InputError

FLOPS_PER_WEIGHT = 6  # C in Appendix C
FLOPS_PER_ROUTER_WEIGHT = 14  # R in Appendix C, after Ludziejewski et al. (2024)

Convention = Literal["ideal", "one-embedding", "two-embeddings"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of weights by kind, over all layers; `embeddings` as built (one matrix if tied, else two).

    A token passes the layers `layer_repeats` times. N_a measures FLOPs, so each pass counts in it.
    """

    embedding_matrix: int
    embeddings: int
    attention: int
    router: int
    experts: int
    experts_active: int
    layer_norms: int
    final_norm: int
    sparsity: float
    layer_repeats: int = 1

    @property
    def total(self) -> int:
        """N: every weight."""
        return self.total_non_embedding + self.embeddings

    @property
    def active(self) -> int:
        """N_a as built: every weight that one token uses, its K experts and all that is always on (A.2)."""
        return self.active_non_embedding + self.embeddings

    @property
    def total_non_embedding(self) -> int:
        """N without embedding and unembedding."""
        return self.attention + self.router + self.experts + self.layer_norms + self.final_norm

    @property
    def active_non_embedding(self) -> int:
        """N_a without embedding and unembedding."""
        passed = self.attention + self.router + self.experts_active + self.layer_norms
        return self.layer_repeats * passed + self.final_norm

    def active_under(self, convention: Convention) -> float:
        """N_a under a convention: `ideal` is (1 - S) N; the others count one or two embedding matrices.

        `InputError` for any other convention.
        """
        if convention == "ideal":
            return (1 - self.sparsity) * self.total
        if convention in CONVENTIONS:
            return self.active_non_embedding + self.embedding_matrix * (1 + (convention == "two-embeddings"))
        raise InputError(f"convention = {convention!r} has to be one of {', '.join(CONVENTIONS)}")


@dataclass(frozen=True)
class FlopCount:
    """FLOPs per token, forward and backward, by part."""

    attention_projections: int
    attention_scores: int
    router: int
    experts: int
    unembedding: int

    @property
    def eq9(self) -> int:
        """Eq. 9: everything but the router."""
        return self.attention_projections + self.attention_scores + self.experts + self.unembedding

    @property
    def total(self) -> int:
        """Eq. 9 plus the router, which matters if E / d_model is large; budgets use this."""
        return self.eq9 + self.router


def count_parameters(model: ModelConfig) -> ParameterCount:
    """Weights of a model, equal to the number of elements of the built one.

    Every layer has a router (d_model x E). The dense model has one too, although it has nothing to decide.
    """
    d, layers = model.d_model, model.n_layers
    expert = 3 * d * model.d_expert
    matrix = model.vocab_size * d
    return ParameterCount(
        embedding_matrix=matrix,
        embeddings=matrix * (1 if model.tied_embeddings else 2),
        attention=layers * (4 * d**2 + 2 * d * model.qk_bias),
        router=layers * d * model.n_experts,
        experts=layers * model.n_experts * expert,
        experts_active=layers * model.n_experts_active * expert,
        layer_norms=layers * d * (4 if model.qk_norm else 2),
        final_norm=d,
        sparsity=model.sparsity,
        layer_repeats=model.layer_repeats,
    )


def count_flops(model: ModelConfig) -> FlopCount:
    """FLOPs per token of a model, as Appendix C counts them (Eq. 9 and the router's term)."""
    d, layers, weight = model.d_model, model.n_layers * model.layer_repeats, FLOPS_PER_WEIGHT
    return FlopCount(
        attention_projections=layers * weight * 4 * d**2,
        attention_scores=layers * weight * 2 * d * model.context_length,
        router=layers * FLOPS_PER_ROUTER_WEIGHT * d * model.n_experts,
        experts=layers * weight * model.n_experts_active * 3 * d * (MLP_RATIO * d // model.granularity),
        unembedding=weight * model.vocab_size * d,
    )


def tokens_for_budget(model: ModelConfig, flops: float) -> float:
    """D: the tokens that a budget of `flops` buys; the router's FLOPs count."""
    return flops / count_flops(model).total
