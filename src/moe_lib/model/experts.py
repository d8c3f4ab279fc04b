"""The experts: GLUs with SiLU; every token reaches all of its experts (dropless).

The weights are laid out as in MegaBlocks' dMoE, `experts.mlp.{w1, v1, w2}`, each [E F, D], expert-major: expert e
maps x to (silu(x w1_e') * (x v1_e')) w2_e. All back ends agree with the readable `reference.loop` in outputs and
gradients.
"""

import torch
from torch import Tensor, nn

from moe_lib.config import ModelConfig, Precision
from moe_lib.model import megablocks
from moe_lib.model.backends import BACKENDS, check_backend, operations_of
from moe_lib.model.router import Router, gate_scale
from moe_lib.model.routing import Routing


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

    def __init__(self, model: ModelConfig, backend: str, precision: Precision = "float32") -> None:
        super().__init__()
        check_backend(backend, model, precision)
        self.mlp = ExpertWeights(model)
        self.backend = BACKENDS[backend]
        self.rounded = precision == "bfloat16"

    def forward(self, x_ND: Tensor, routing: Routing) -> Tensor:
        """Sum over a token's experts of gate times expert."""
        return self.backend(x_ND, routing, *self.mlp.by_expert(), self.rounded and self.training)


class MixtureOfExperts(nn.Module):
    """Router and experts of a layer."""

    def __init__(self, model: ModelConfig, backend: str, precision: Precision = "float32") -> None:
        super().__init__()
        operations = operations_of(backend)
        self.router = Router(model.d_model, model.n_experts, model.n_experts_active, operations)
        self.experts = Experts(model, backend, precision)
        self.scale = gate_scale(model)

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Routing]:
        """The layer's output [N, D] and how its tokens were routed."""
        routing = self.router(x_ND)
        y_ND = self.experts(x_ND, routing)
        return (y_ND if self.scale == 1 else y_ND * self.scale), routing


def make_layer(model: ModelConfig, backend: str, precision: Precision = "float32") -> nn.Module:
    """A layer's router and experts; all back ends use the same names and layout of weights.

    Raises `InputError` if the back end cannot run here, or does not support the model's widths or precision.
    """
    check_backend(backend, model, precision)
    if backend == "megablocks":
        return megablocks.MegablocksExperts(model)
    return MixtureOfExperts(model, backend, precision)
