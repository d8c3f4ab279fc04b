"""Who goes where: softmax over all experts, then the K largest, without renormalisation (Appendix A.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Routing:
    """A router's decision about N tokens, with what the auxiliary losses and the statistics need.

    `expert_NK` int64, the chosen experts, best first; `gate_NK`, their weights, in the dtype of the logits;
    `load_E` int64, assignments by expert; `load_balance` and `router_z`, scalars in the graph; `entropy`, nats.
    """

    expert_NK: Tensor
    gate_NK: Tensor
    load_E: Tensor
    load_balance: Tensor
    router_z: Tensor
    entropy: Tensor


class Router(nn.Module):
    """A linear map from tokens to experts (d_model x E weights, no bias, no jitter)."""

    def __init__(self, d_model: int, n_experts: int, n_experts_active: int) -> None:
        super().__init__()
        self.layer = nn.Linear(d_model, n_experts, bias=False)
        self.n_experts_active = n_experts_active

    def forward(self, x_ND: Tensor) -> Routing:
        """Route N tokens.

        The load-balancing loss is E sum_e f_e p_e, with f_e the share of assignments and p_e the mean probability
        of expert e: 1 where loads are even (Fedus et al. 2021, Eq. 4). The router's z-loss is the mean squared
        log-partition of the logits (Zoph et al. 2022, Eq. 5).
        """
        logits_NE = self.layer(x_ND)
        log_partition_N1 = logits_NE.logsumexp(dim=-1, keepdim=True)
        probability_NE = (logits_NE - log_partition_N1).exp()
        gate_NK, expert_NK = probability_NE.topk(self.n_experts_active, dim=-1)
        n_experts = logits_NE.shape[-1]
        load_E = torch.bincount(expert_NK.flatten(), minlength=n_experts)
        mean_probability_E = probability_NE.mean(dim=0)
        share_E = load_E.to(probability_NE.dtype) / expert_NK.numel()
        with torch.no_grad():
            entropy = -torch.special.xlogy(probability_NE, probability_NE).sum(dim=-1).mean()
        return Routing(
            expert_NK=expert_NK,
            gate_NK=gate_NK,
            load_E=load_E,
            load_balance=n_experts * (share_E * mean_probability_E).sum(),
            router_z=log_partition_N1.square().mean(),
            entropy=entropy,
        )
