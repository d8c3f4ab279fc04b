"""All experts at once by `torch.nn.functional.grouped_mm`: the back end on CUDA, and without a compiler.

Tokens are gathered in the order of their experts, and results are gathered back, in both passes. No sum depends on the
order in which a GPU's threads arrive, and the host waits for nothing.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from moe_lib.config import ModelConfig, Precision
from moe_lib.model.reference import glu, in_bfloat16
from moe_lib.model.routing import Routing

MULTIPLE = {"float32": 4, "bfloat16": 8}  # numbers in 16 bytes; grouped_mm needs rows of whole 16 bytes
MOST_EXPERTS = 1_023  # groups of the bfloat16 kernel
BLACKWELL = 10  # major compute capability whose kernel is wrong for experts without tokens (torch 2.13)
FAST = (9,)  # major compute capabilities whose bfloat16 kernel leaves the sizes of the groups on the device


class _Gather(Function):
    """Rows of x in the order of their experts; `place` has where each assignment went, [N K]."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, row_A: Tensor, place_A: Tensor) -> Tensor:
        ctx.save_for_backward(row_A, place_A)
        ctx.n_rows = len(x_ND)
        return x_ND[row_A]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dx_AD: Tensor) -> tuple[Tensor, None, None]:
        return _sums(dx_AD, ctx.saved_tensors[1], ctx.n_rows), None, None


class _Return(Function):
    """The transpose of `_Gather`: for each token the sum over its assignments."""

    @staticmethod
    def forward(ctx: Any, y_AD: Tensor, row_A: Tensor, place_A: Tensor, n_rows: int) -> Tensor:
        ctx.save_for_backward(row_A)
        return _sums(y_AD, place_A, n_rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_ND: Tensor) -> tuple[Tensor, None, None, None]:
        return dy_ND[ctx.saved_tensors[0]], None, None, None


def _sums(y_AD: Tensor, place_A: Tensor, n_rows: int) -> Tensor:
    return y_AD[place_A].view(n_rows, -1, *y_AD.shape[1:]).sum(dim=1)


def _narrow_product(a_AX: Tensor, b_EXY: Tensor, offs: Tensor) -> Tensor:
    """A grouped product of bfloat16 copies, whose result and gradients are rounded to bfloat16 too."""
    return F.grouped_mm(a_AX.bfloat16(), b_EXY.bfloat16(), offs=offs).to(a_AX.dtype)


def grouped_mm(
    x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor, rounded: bool = False
) -> Tensor:
    """All experts at once by `torch.nn.functional.grouped_mm` on tokens sorted by expert.

    Rows need whole 16 bytes: D and F have to be multiples of 4 in float32, and of 8 in bfloat16. On a GPU a `rounded`
    product also rounds its result to bfloat16, because the kernel has no other; weights and sums over a token's
    experts stay float32.
    """
    order_A = routing.expert_NK.flatten().argsort(stable=True) if routing.order_A is None else routing.order_A
    place_A = torch.empty_like(order_A).scatter_(0, order_A, torch.arange(len(order_A), device=order_A.device))
    token_A = order_A // routing.expert_NK.shape[1]
    narrow = rounded and in_bfloat16(x_ND)
    ends_E = routing.load_E.cumsum(0).to(torch.int32)
    multiply = partial(_narrow_product if narrow else F.grouped_mm, offs=ends_E)
    x_AD: Tensor = _Gather.apply(x_ND, token_A, place_A)  # type: ignore[no-untyped-call]
    gate_A: Tensor = _Gather.apply(routing.gate_NK.flatten(), order_A, place_A)  # type: ignore[no-untyped-call]
    y_AD = glu(x_AD, gate_A, w1_EFD, v1_EFD, w2_EFD, rounded and not narrow, multiply)
    y_ND: Tensor = _Return.apply(y_AD, token_A, place_A, len(x_ND))  # type: ignore[no-untyped-call]
    return y_ND


def grouped_problem(model: ModelConfig, precision: Precision, device: torch.device) -> str | None:
    """None if `grouped_mm` computes a model here, else the reason in words."""
    narrow = precision == "bfloat16" and device.type != "cpu"
    multiple = MULTIPLE["bfloat16" if narrow else "float32"]
    if model.d_model % multiple or model.d_expert % multiple:
        return (
            f"backend = 'grouped_mm' needs multiples of {multiple}, and here d_model = {model.d_model} and "
            f"4 d_model / granularity = {model.d_expert}"
        )
    if narrow and model.n_experts > MOST_EXPERTS:
        return (
            f"backend = 'grouped_mm' takes at most {MOST_EXPERTS:,} experts in bfloat16 on a GPU, and here n_experts = "
            f"{model.n_experts}"
        )
    if narrow and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == BLACKWELL:
        return (
            "backend = 'grouped_mm' is wrong in bfloat16 for experts without tokens on GPUs such as "
            f"{torch.cuda.get_device_name(device)}; set training.precision to float32, or backend to loop"
        )
    return None


def is_fast(precision: Precision, device: torch.device) -> bool:
    """Whether the grouped product runs on a GPU without waiting for the host, so that a CUDA graph can hold it."""
    return device.type == "cuda" and precision == "bfloat16" and torch.cuda.get_device_capability(device)[0] in FAST
