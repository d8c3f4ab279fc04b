"""A router's decision about a batch of tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """A router's decision about N tokens, with the auxiliary losses and statistics.

    `expert_NK` int64, the chosen experts, best first; `gate_NK`, their weights, in the dtype of the logits;
    `load_E` int64, assignments by expert; `load_balance` and `router_z`, scalars in the graph; `entropy`, nats;
    `order_A` int64, all assignments ordered by expert, of routers that sort them.
    """

    expert_NK: Tensor
    gate_NK: Tensor
    load_E: Tensor
    load_balance: Tensor
    router_z: Tensor
    entropy: Tensor
    order_A: Tensor | None = None

    @classmethod
    def of(
        cls,
        expert_NK: Tensor,
        gate_NK: Tensor,
        load_E: Tensor,
        mean_probability_E: Tensor,
        log_partition_N: Tensor,
        entropy: Tensor,
        order_A: Tensor | None = None,
    ) -> "Routing":
        """A decision together with its auxiliary losses.

        The load-balancing loss is E sum_e f_e p_e, with f_e the share of assignments and p_e the mean probability
        of expert e; it is 1 if loads are even (Fedus et al. 2021, Eq. 4). The router's z-loss is the mean squared
        log-partition of the logits (Zoph et al. 2022, Eq. 5).
        """
        share_E = load_E.to(gate_NK.dtype) / expert_NK.numel()
        return cls(
            expert_NK=expert_NK,
            gate_NK=gate_NK,
            load_E=load_E,
            load_balance=len(load_E) * (share_E * mean_probability_E).sum(),
            router_z=log_partition_N.square().mean(),
            entropy=entropy,
            order_A=order_A,
        )


def by_expert(expert_NK: Tensor, n_experts: int) -> tuple[Tensor, Tensor]:
    """`order_A` and `load_E` of a decision, by one sort: nothing on the device waits for the host."""
    expert_A, order_A = expert_NK.flatten().sort(stable=True)
    first_E = torch.arange(n_experts + 1, device=expert_A.device)
    return order_A, torch.searchsorted(expert_A, first_E).diff()
