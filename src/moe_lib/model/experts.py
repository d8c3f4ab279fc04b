"""What the experts compute: GLUs with SiLU, every token at all of its experts (dropless).

The weights are laid out as in MegaBlocks' dMoE, `experts.mlp.{w1, v1, w2}`, each [E F, D], expert-major: expert e
maps x to (silu(x w1_e') * (x v1_e')) w2_e. A back end is a function of tokens, routing and these weights; they agree
with `loop`, the one to read, in outputs and gradients.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.model.router import Router, Routing

Backend = Callable[[Tensor, Routing, Tensor, Tensor, Tensor], Tensor]


def glu(x_ND: Tensor, w1_FD: Tensor, v1_FD: Tensor, w2_FD: Tensor) -> Tensor:
    """One expert on N tokens."""
    return (F.silu(x_ND @ w1_FD.mT) * (x_ND @ v1_FD.mT)) @ w2_FD


def loop(x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor) -> Tensor:
    """The reference: one expert after the other, in any floating dtype."""
    y_ND = torch.zeros_like(x_ND)
    for e in range(w1_EFD.shape[0]):
        token_A, slot_A = (routing.expert_NK == e).nonzero(as_tuple=True)
        expert_AD = glu(x_ND[token_A], w1_EFD[e], v1_EFD[e], w2_EFD[e])
        y_ND = y_ND.index_add(0, token_A, expert_AD * routing.gate_NK[token_A, slot_A, None])
    return y_ND


def grouped_mm(x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor) -> Tensor:
    """All experts at once by `torch.nn.functional.grouped_mm` on tokens sorted by expert (float32 and bfloat16)."""
    n_active = routing.expert_NK.shape[1]
    order_A = routing.expert_NK.flatten().argsort(stable=True)
    token_A = order_A // n_active
    ends_E = routing.load_E.cumsum(0).to(torch.int32)
    x_AD = x_ND[token_A]
    hidden_AF = F.silu(F.grouped_mm(x_AD, w1_EFD.mT, offs=ends_E)) * F.grouped_mm(x_AD, v1_EFD.mT, offs=ends_E)
    y_AD = F.grouped_mm(hidden_AF, w2_EFD, offs=ends_E) * routing.gate_NK.flatten()[order_A, None]
    return torch.zeros_like(x_ND).index_add(0, token_A, y_AD)


BACKENDS: dict[str, Backend] = {"loop": loop, "grouped_mm": grouped_mm}


class ExpertWeights(nn.Module):
    """The weights of all experts of a layer, three matrices [E F, D]."""

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.n_experts = model.n_experts
        rows = model.n_experts * model.d_expert
        self.w1, self.v1, self.w2 = (nn.Parameter(torch.empty(rows, model.d_model)) for _ in range(3))

    def by_expert(self) -> tuple[Tensor, Tensor, Tensor]:
        """w1, v1 and w2 as [E, F, D] views."""
        w1, v1, w2 = (w.view(self.n_experts, -1, w.shape[1]) for w in (self.w1, self.v1, self.w2))
        return w1, v1, w2


class Experts(nn.Module):
    """The experts of a layer behind one back end; with a single expert, a plain GLU."""

    def __init__(self, model: ModelConfig, backend: str) -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise InputError(f"backend = {backend!r} has to be one of {', '.join(BACKENDS)}")
        self.mlp = ExpertWeights(model)
        self.backend = BACKENDS[backend]

    def forward(self, x_ND: Tensor, routing: Routing) -> Tensor:
        """Sum over a token's experts of gate times expert."""
        return self.backend(x_ND, routing, *self.mlp.by_expert())


class MixtureOfExperts(nn.Module):
    """Router and experts of a layer."""

    def __init__(self, model: ModelConfig, backend: str) -> None:
        super().__init__()
        self.router = Router(model.d_model, model.n_experts, model.n_experts_active)
        self.experts = Experts(model, backend)

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Routing]:
        """The layer's output [N, D] and how its tokens were routed."""
        routing = self.router(x_ND)
        return self.experts(x_ND, routing), routing
