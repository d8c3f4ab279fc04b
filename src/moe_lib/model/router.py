"""The router: softmax over all experts, then the K largest, without renormalisation (Appendix A.2)."""

import torch
from torch import Tensor, nn

from moe_lib.config import ModelConfig
from moe_lib.model import reference
from moe_lib.model.operations import Operations
from moe_lib.model.routing import Routing


class Router(nn.Module):
    """A linear map from tokens to experts (d_model x E weights, no bias, no jitter)."""

    def __init__(self, d_model: int, n_experts: int, n_experts_active: int, operations: Operations = reference) -> None:
        super().__init__()
        self.layer = nn.Linear(d_model, n_experts, bias=False)
        self.n_experts_active = n_experts_active
        self.operations = operations

    def forward(self, x_ND: Tensor) -> Routing:
        """Route N tokens."""
        return self.operations.route(self.operations.linear(x_ND, self.layer.weight), self.n_experts_active)


def gate_scale(model: ModelConfig) -> float:
    """The factor on the gates: 1, or with `scaled_gates` one over the initial sum of a token's gates.

    That sum is approximated by the K largest shares of a softmax over standard normal logits at their medians (Blom's
    plotting positions).
    """
    if not model.scaled_gates:
        return 1.0
    rank_E = torch.arange(model.n_experts, 0, -1, dtype=torch.float64)
    share_E = torch.special.ndtri((rank_E - 0.375) / (model.n_experts + 0.25)).softmax(dim=0)
    return 1 / float(share_E[: model.n_experts_active].sum())
