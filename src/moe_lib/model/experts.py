"""What the experts compute: GLUs with SiLU, every token at all of its experts (dropless).

The weights are laid out as in MegaBlocks' dMoE, `experts.mlp.{w1, v1, w2}`, each [E F, D], expert-major: expert e
maps x to (silu(x w1_e') * (x v1_e')) w2_e. A back end is a function of tokens, routing and these weights; they agree
with `loop`, the one to read, in outputs and gradients.
"""

import warnings
from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lib.config import ModelConfig, Precision
from moe_lib.errors import InputError, Notice
from moe_lib.model import megablocks, native
from moe_lib.model.operations import operations_of
from moe_lib.model.reference import glu, loop
from moe_lib.model.router import Router, gate_scale
from moe_lib.model.routing import Routing
from moe_lib.native import why_not

Backend = Callable[[Tensor, Routing, Tensor, Tensor, Tensor, bool], Tensor]

GROUPED_MM_MULTIPLE = 4  # of float32 numbers in 16 bytes, which grouped_mm takes rows in


def grouped_mm(
    x_ND: Tensor, routing: Routing, w1_EFD: Tensor, v1_EFD: Tensor, w2_EFD: Tensor, rounded: bool = False
) -> Tensor:
    """All experts at once by `torch.nn.functional.grouped_mm` on tokens sorted by expert.

    It takes rows of whole 16 bytes: D and F have to be multiples of 4 in float32, and of 8 in bfloat16.
    """
    n_active = routing.expert_NK.shape[1]
    order_A = routing.expert_NK.flatten().argsort(stable=True)
    token_A = order_A // n_active
    ends_E = routing.load_E.cumsum(0).to(torch.int32)
    gate_A = routing.gate_NK.flatten()[order_A]
    y_AD = glu(x_ND[token_A], gate_A, w1_EFD, v1_EFD, w2_EFD, rounded, partial(F.grouped_mm, offs=ends_E))
    return torch.zeros_like(x_ND).index_add(0, token_A, y_AD)


BACKENDS: dict[str, Backend] = {"loop": loop, "grouped_mm": grouped_mm, "native": native.experts}
NAMES = (*BACKENDS, "megablocks")  # which brings a layer of its own, router and all


@cache
def default_backend() -> str:
    """`grouped_mm` on CUDA; else `native`, or where its kernels cannot be built `grouped_mm`, with a warning."""
    if torch.cuda.is_available():
        return "grouped_mm"
    problem = why_not()
    if problem is None:
        return "native"
    warnings.warn(f"{problem}; grouped_mm is used, which is slower", Notice, stacklevel=2)
    return "grouped_mm"


def backend_for(model: ModelConfig) -> str:
    """The default back end; `loop`, with a warning, where that is `grouped_mm` and the widths are not for it."""
    default = default_backend()
    if default == "grouped_mm" and (problem := _widths_problem(model)):
        warnings.warn(f"{problem}; loop is used, which is slower", Notice, stacklevel=3)
        return "loop"
    return default


def _widths_problem(model: ModelConfig) -> str | None:
    """None where `grouped_mm` takes a model's widths, else the reason in words."""
    if not (model.d_model % GROUPED_MM_MULTIPLE or model.d_expert % GROUPED_MM_MULTIPLE):
        return None
    return (
        f"backend = 'grouped_mm' needs multiples of {GROUPED_MM_MULTIPLE}, and here d_model = {model.d_model} and "
        f"4 d_model / granularity = {model.d_expert}"
    )


def problem_of(backend: str) -> str | None:
    """None where a back end can run here, else the reason in words."""
    return {"native": why_not, "megablocks": megablocks.why_not}.get(backend, lambda: None)()


def check_backend(backend: str) -> None:
    """`InputError` where there is no such back end, or where it cannot run here."""
    if backend not in NAMES:
        raise InputError(f"backend = {backend!r} has to be one of {', '.join(NAMES)}")
    if problem := problem_of(backend):
        raise InputError(problem)


def device_of(backend: str) -> torch.device:
    """Where a model of this back end trains: on CUDA if it is there, but `native` is for the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() and backend != "native" else "cpu")


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
        check_backend(backend)
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
    """A layer's router and experts; whatever computes them, the names and the layout of the weights are the same.

    Raises `InputError` where the back end cannot run here, or does not take the model's widths or precision.
    """
    check_backend(backend)
    if backend == "grouped_mm" and (problem := _widths_problem(model)):
        raise InputError(problem)
    if backend != "megablocks":
        return MixtureOfExperts(model, backend, precision)
    if precision != "float32":
        raise InputError(
            f"precision = {precision!r} is not for backend = 'megablocks', which has its own; leave it out"
        )
    return megablocks.MegablocksExperts(model)
