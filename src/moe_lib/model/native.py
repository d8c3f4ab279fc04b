"""The functions of `reference`, and the experts, by the C++ kernels: float32 on the CPU, one thread.

The reference handles every other dtype and device. Only the shapes decide the order of sums, so the same input gives
the same bits.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from moe_lib.model import reference
from moe_lib.model.reference import NORM_EPSILON
from moe_lib.model.routing import Routing
from moe_lib.native import buffer_size, call


def _apply(function: type[Function], *arguments: Any) -> Any:
    return function.apply(*arguments)  # type: ignore[no-untyped-call]


def _fits(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, rounded: bool) -> Tensor:
        x, w = x.contiguous(), w.contiguous()
        y = x.new_empty(*x.shape[:-1], len(w))
        ctx.sizes = (x.numel() // w.shape[1], w.shape[1], len(w), rounded)
        call("linear", x, w, *ctx.sizes, y)
        ctx.save_for_backward(x, w)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, w = ctx.saved_tensors
        dx, dw = torch.empty_like(x), torch.empty_like(w)
        call("linear_backward", x, w, dy.contiguous(), *ctx.sizes, dx, dw)
        return dx, dw, None


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w_D: Tensor) -> Tensor:
        x = x.contiguous()
        n, d = x.numel() // len(w_D), len(w_D)
        y, scale_N = torch.empty_like(x), x.new_empty(n)
        call("norm", x, w_D, NORM_EPSILON, n, d, y, scale_N)
        ctx.save_for_backward(x, w_D, scale_N)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x, w_D, scale_N = ctx.saved_tensors
        dx, dw_D = torch.empty_like(x), torch.empty_like(w_D)
        call("norm_backward", dy.contiguous(), x, w_D, scale_N, len(scale_N), len(w_D), dx, dw_D)
        return dx, dw_D


class _Attention(Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, q_weight_D: Tensor | None, k_weight_D: Tensor | None, cos_TW: Tensor, sin_TW: Tensor
    ) -> Tensor:
        inputs = (qkv.contiguous(), q_weight_D, k_weight_D, cos_TW.contiguous(), sin_TW.contiguous())
        batch, length, width = *qkv.shape[:2], cos_TW.shape[1]
        heads = qkv.shape[2] // (3 * width)
        out = qkv.new_empty(batch, length, heads * width)
        log_partition = qkv.new_empty(batch, heads, length)
        call("attention", *inputs, NORM_EPSILON, batch, length, heads, width, out, log_partition)
        ctx.save_for_backward(*inputs, out, log_partition)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, log_partition = ctx.saved_tensors
        (batch, heads, length), width = log_partition.shape, inputs[3].shape[1]
        dqkv, dq_weight, dk_weight = (None if x is None else torch.empty_like(x) for x in inputs[:3])
        sizes = (batch, length, heads, width)
        saved = (out, log_partition, dout.contiguous())
        call("attention_backward", *inputs, NORM_EPSILON, *sizes, *saved, dqkv, dq_weight, dk_weight)
        return dqkv, dq_weight, dk_weight, None, None


class _Route(Function):
    @staticmethod
    def forward(ctx: Any, logits_NE: Tensor, n_active: int) -> tuple[Tensor, ...]:
        logits_NE = logits_NE.contiguous()
        (n, n_experts), new = logits_NE.shape, logits_NE.new_empty
        probability_NE, gate_NK, log_partition_N = new(n, n_experts), new(n, n_active), new(n)
        mean_probability_E, entropy = new(n_experts), new(())
        expert_NK, load_E = (torch.empty(shape, dtype=torch.int64) for shape in ((n, n_active), (n_experts,)))
        by_token = (probability_NE, expert_NK, gate_NK, log_partition_N)
        call("route", logits_NE, n, n_experts, n_active, *by_token, load_E, mean_probability_E, entropy)
        ctx.save_for_backward(probability_NE, expert_NK)
        ctx.mark_non_differentiable(expert_NK, load_E, entropy)
        return expert_NK, gate_NK, load_E, mean_probability_E, log_partition_N, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Any, dgate: Tensor, __: Any, dmean: Tensor, dlog: Tensor, ___: Any) -> tuple[Any, ...]:
        probability_NE, expert_NK = ctx.saved_tensors
        dlogits_NE = torch.empty_like(probability_NE)
        gradients = (dgate.contiguous(), dlog.contiguous(), dmean.contiguous())
        sizes = (*probability_NE.shape, expert_NK.shape[1])
        call("route_backward", probability_NE, expert_NK, *gradients, *sizes, dlogits_NE)
        return dlogits_NE, None


class _Experts(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        expert_NK: Tensor,
        gate_NK: Tensor,
        w1: Tensor,
        v1: Tensor,
        w2: Tensor,
        rounded: bool,
        kept: bool,
    ) -> Tensor:
        inputs = tuple(value.contiguous() for value in (x_ND, expert_NK, gate_NK, w1, v1, w2))
        n_experts, f, d = w1.shape
        ctx.sizes = (len(x_ND), d, f, n_experts, expert_NK.shape[1], rounded)
        y_ND = torch.empty_like(inputs[0])
        hidden = x_ND.new_empty(buffer_size("expert_buffer", expert_NK.numel(), n_experts, f, kept))
        call("experts", *inputs, *ctx.sizes, kept, y_ND, hidden)
        ctx.save_for_backward(*inputs, hidden)
        return y_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_ND: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, expert_NK, gate_NK, w1, v1, w2, hidden = ctx.saved_tensors
        dx, dgate, dw1, dv1, dw2 = (torch.empty_like(value) for value in (x_ND, gate_NK, w1, v1, w2))
        inputs = (x_ND, expert_NK, gate_NK, w1, v1, w2, hidden, dy_ND.contiguous())
        call("experts_backward", *inputs, *ctx.sizes, dx, dgate, dw1, dv1, dw2)
        return dx, None, dgate, dw1, dv1, dw2, None, None


class _NextTokenNll(Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, w_VD: Tensor, target_N: Tensor, rounded: bool, kept: bool) -> Tensor:
        x_ND, w_VD, target_N = x_ND.contiguous(), w_VD.contiguous(), target_N.contiguous()
        ctx.sizes = (*x_ND.shape, len(w_VD), rounded)
        nll_N, log_partition_N = (x_ND.new_empty(len(x_ND)) for _ in range(2))
        logits = x_ND.new_empty(buffer_size("logit_buffer", len(x_ND), len(w_VD), kept))
        call("next_token_nll", x_ND, w_VD, target_N, *ctx.sizes, kept, nll_N, log_partition_N, logits)
        ctx.save_for_backward(x_ND, w_VD, target_N, logits, log_partition_N)
        return nll_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dnll_N: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, w_VD, *_ = ctx.saved_tensors
        dx, dw = torch.empty_like(x_ND), torch.empty_like(w_VD)
        call("next_token_nll_backward", *ctx.saved_tensors, dnll_N.contiguous(), *ctx.sizes, dx, dw)
        return dx, dw, None, None, None


def linear(x: Tensor, w: Tensor, rounded: bool = False) -> Tensor:
    """As `reference.linear`."""
    return _apply(_Linear, x, w, rounded) if _fits(x) else reference.linear(x, w, rounded)


def norm(x: Tensor, w_D: Tensor) -> Tensor:
    """As `reference.norm`."""
    return _apply(_Norm, x, w_D) if _fits(x) else reference.norm(x, w_D)


def attention(
    qkv: Tensor, q_weight_D: Tensor | None, k_weight_D: Tensor | None, cos_TW: Tensor, sin_TW: Tensor
) -> Tensor:
    """As `reference.attention`, but skips keys after a block of queries and keeps nothing of size T x T."""
    inputs = (qkv, q_weight_D, k_weight_D, cos_TW, sin_TW)
    return _apply(_Attention, *inputs) if _fits(qkv) else reference.attention(*inputs)


def route(logits_NE: Tensor, n_active: int) -> Routing:
    """As `reference.route`; of experts with equal logits it chooses the first."""
    return (
        Routing.of(*_apply(_Route, logits_NE, n_active)) if _fits(logits_NE) else reference.route(logits_NE, n_active)
    )


def experts(
    x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor, rounded: bool = False
) -> Tensor:
    """As `reference.loop`; a block of an expert's tokens stays in the cache through the whole GLU."""
    if not _fits(x_ND):
        return reference.loop(x_ND, routing, w1_EFD, v1_EFD, w2_EFD, rounded)
    inputs = (x_ND, routing.expert_NK, routing.gate_NK, w1_EFD, v1_EFD, w2_EFD)
    y_ND: Tensor = _apply(_Experts, *inputs, rounded, torch.is_grad_enabled())
    return y_ND


def next_token_nll(x_ND: Tensor, w_VD: Tensor, target_N: Tensor, rounded: bool = False) -> Tensor:
    """As `reference.next_token_nll`; computes logits in chunks, and without gradients keeps only one chunk."""
    if not _fits(x_ND):
        return reference.next_token_nll(x_ND, w_VD, target_N, rounded)
    nll_N: Tensor = _apply(_NextTokenNll, x_ND, w_VD, target_N, rounded, torch.is_grad_enabled())
    return nll_N
