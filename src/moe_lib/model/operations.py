"""The operations of a layer, by back end."""

from typing import Protocol

from torch import Tensor

from moe_lib.model.routing import Routing


class Operations(Protocol):
    """The operations that both `reference` and `native` implement."""

    def linear(self, x: Tensor, w: Tensor, rounded: bool = False) -> Tensor: ...

    def norm(self, x: Tensor, w_D: Tensor) -> Tensor: ...

    def attention(
        self, qkv: Tensor, q_weight_D: Tensor | None, k_weight_D: Tensor | None, cos_TW: Tensor, sin_TW: Tensor
    ) -> Tensor: ...

    def route(self, logits_NE: Tensor, n_active: int) -> Routing: ...

    def next_token_nll(self, x_ND: Tensor, w_VD: Tensor, target_N: Tensor, rounded: bool = False) -> Tensor: ...
