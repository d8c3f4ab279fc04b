"""The operations of a layer in plain PyTorch: any device, any floating dtype. `native` computes the same.

A `rounded` product rounds both inputs to bfloat16, and its incoming gradient as well. The two products of its backward
pass then take rounded inputs too. Sums and results keep their dtype. On a GPU `linear` computes the same from bfloat16
tensors, which its matrix units take.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from moe_lib.model.routing import Routing, by_expert

NORM_EPSILON = 1e-5


class _Round(Function):
    """Rounds to bfloat16 and back: the value in the forward pass, or the gradient in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: bool) -> Tensor:
        ctx.forward = forward
        return x.to(torch.bfloat16).to(x.dtype) if forward else x.view_as(x)

    @staticmethod
    def backward(ctx: Any, dx: Tensor) -> tuple[Tensor, None]:
        return (dx if ctx.forward else dx.to(torch.bfloat16).to(dx.dtype)), None


def _round(x: Tensor, forward: bool) -> Tensor:
    y: Tensor = _Round.apply(x, forward)  # type: ignore[no-untyped-call]
    return y


def product(function: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, rounded: bool) -> Tensor:
    """`function(a, b)`, linear in both arguments, `rounded` or exact."""
    return _round(function(_round(a, True), _round(b, True)), False) if rounded else function(a, b)


def in_bfloat16(x: Tensor) -> bool:
    """Whether rounded products of x are computed from bfloat16 tensors: everywhere but on the CPU."""
    return x.device.type != "cpu"


def _wide_product(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    """The product of two bfloat16 matrices, with sums and result in float32."""
    if a_MK.device.type == "cpu":
        return a_MK.float() @ b_KN.float()
    return torch.mm(a_MK, b_KN, out_dtype=torch.float32)


class _NarrowLinear(Function):
    """A rounded linear map that keeps its inputs in bfloat16 for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        x_ND, narrow_w = x.flatten(0, -2).bfloat16(), w.bfloat16()
        ctx.save_for_backward(x_ND, narrow_w)
        return _wide_product(x_ND, narrow_w.mT).to(x.dtype).view(*x.shape[:-1], len(w))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x_ND, w = ctx.saved_tensors
        dy_NR = dy.flatten(0, -2).bfloat16()
        dx, dw = _wide_product(dy_NR, w), _wide_product(dy_NR.mT, x_ND)
        return dx.to(dy.dtype).view(*dy.shape[:-1], w.shape[1]), dw.to(dy.dtype)


def linear(x: Tensor, w: Tensor, rounded: bool = False) -> Tensor:
    """x w' for x [..., D] and w [rows, D]."""
    if rounded and in_bfloat16(x):
        y: Tensor = _NarrowLinear.apply(x, w)  # type: ignore[no-untyped-call]
        return y
    return product(F.linear, x, w, rounded)


def norm(x: Tensor, w_D: Tensor) -> Tensor:
    """RMSNorm over the last dimension, times w."""
    return F.rms_norm(x, w_D.shape, w_D, NORM_EPSILON)


def rotate(x_BHTW: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> Tensor:
    """Rotate each pair (i, i + W/2) of a head's channels by the angle of its position."""
    first, second = x_BHTW.chunk(2, dim=-1)
    return x_BHTW * cos_TW + torch.cat([-second, first], dim=-1) * sin_TW


def attention(
    qkv: Tensor, q_weight_D: Tensor | None, k_weight_D: Tensor | None, cos_TW: Tensor, sin_TW: Tensor
) -> Tensor:
    """Causal attention [B, T, D] of projections [B, T, 3 D] with rotary positions; QK-norm if its weights are given."""
    q_BTD, k_BTD, v_BTD = qkv.chunk(3, dim=-1)
    if q_weight_D is not None and k_weight_D is not None:
        q_BTD, k_BTD = norm(q_BTD, q_weight_D), norm(k_BTD, k_weight_D)
    q, k, v = (y.view(*y.shape[:2], -1, cos_TW.shape[1]).transpose(1, 2) for y in (q_BTD, k_BTD, v_BTD))
    mixed_BHTW = F.scaled_dot_product_attention(rotate(q, cos_TW, sin_TW), rotate(k, cos_TW, sin_TW), v, is_causal=True)
    return mixed_BHTW.transpose(1, 2).flatten(-2)


def route(logits_NE: Tensor, n_active: int) -> Routing:
    """Softmax over all experts, then the K largest."""
    log_partition_N1 = logits_NE.logsumexp(dim=-1, keepdim=True)
    probability_NE = (logits_NE - log_partition_N1).exp()
    gate_NK, expert_NK = probability_NE.topk(n_active, dim=-1)
    order_A, load_E = by_expert(expert_NK, logits_NE.shape[-1])
    with torch.no_grad():
        entropy = -torch.special.xlogy(probability_NE, probability_NE).sum(dim=-1).mean()
    return Routing.of(expert_NK, gate_NK, load_E, probability_NE.mean(dim=0), log_partition_N1, entropy, order_A)


def glu(
    x_ND: Tensor,
    gate_N: Tensor,
    w1_FD: Tensor,
    v1_FD: Tensor,
    w2_FD: Tensor,
    rounded: bool,
    multiply: Callable[[Tensor, Tensor], Tensor] = torch.matmul,
) -> Tensor:
    """One expert on N tokens, times their gates; the gates multiply the hidden values, before the last product."""
    a_NF, b_NF = (product(multiply, x_ND, w_FD.mT, rounded) for w_FD in (w1_FD, v1_FD))
    return product(multiply, F.silu(a_NF) * b_NF * gate_N[:, None], w2_FD, rounded)


def loop(
    x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor, rounded: bool = False
) -> Tensor:
    """All experts, one after the other."""
    y_ND = torch.zeros_like(x_ND)
    for e in range(w1_EFD.shape[0]):
        token_A, slot_A = (routing.expert_NK == e).nonzero(as_tuple=True)
        gate_A = routing.gate_NK[token_A, slot_A]
        y_ND = y_ND.index_add(0, token_A, glu(x_ND[token_A], gate_A, w1_EFD[e], v1_EFD[e], w2_EFD[e], rounded))
    return y_ND


def next_token_nll(x_ND: Tensor, w_VD: Tensor, target_N: Tensor, rounded: bool = False) -> Tensor:
    """Negative log-likelihood [N] of targets (int64) under softmax(w x), nats, at least float32."""
    logits_NV = linear(x_ND, w_VD, rounded)
    exact_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    return F.cross_entropy(exact_NV, target_N, reduction="none")
