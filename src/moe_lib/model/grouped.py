"""All experts at once by `torch.nn.functional.grouped_mm`: the back end on CUDA, and without a compiler."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.model.reference import glu
from moe_lib.model.routing import Routing

MULTIPLE = 4  # float32 numbers in 16 bytes; grouped_mm needs rows of whole 16 bytes


def grouped_mm(
    x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor, rounded: bool = False
) -> Tensor:
    """All experts at once by `torch.nn.functional.grouped_mm` on tokens sorted by expert.

    Rows need whole 16 bytes: D and F have to be multiples of 4 in float32, and of 8 in bfloat16.
    """
    n_active = routing.expert_NK.shape[1]
    order_A = routing.expert_NK.flatten().argsort(stable=True)
    token_A = order_A // n_active
    ends_E = routing.load_E.cumsum(0).to(torch.int32)
    gate_A = routing.gate_NK.flatten()[order_A]
    y_AD = glu(x_ND[token_A], gate_A, w1_EFD, v1_EFD, w2_EFD, rounded, partial(F.grouped_mm, offs=ends_E))
    return torch.zeros_like(x_ND).index_add(0, token_A, y_AD)


def widths_problem(model: ModelConfig) -> str | None:
    """None if `grouped_mm` supports a model's widths, else the reason in words."""
    if not (model.d_model % MULTIPLE or model.d_expert % MULTIPLE):
        return None
    return (
        f"backend = 'grouped_mm' needs multiples of {MULTIPLE}, and here d_model = {model.d_model} and "
        f"4 d_model / granularity = {model.d_expert}"
    )
