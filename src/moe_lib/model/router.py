"""Who goes where: softmax over all experts, then the K largest, without renormalisation (Appendix A.2)."""

from torch import Tensor, nn

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
