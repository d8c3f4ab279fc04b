"""The back ends: their registry, the defaults, and the reasons why one cannot run here.

A back end is a function of tokens, routing and the experts' weights, such as `reference.loop`, and supplies the
operations for the rest of a layer. `megablocks` supplies a whole layer, including its router.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from moe_lib.config import ModelConfig, Precision
from moe_lib.errors import InputError, Notice
from moe_lib.model import megablocks, native, reference
from moe_lib.model.grouped import grouped_mm, widths_problem
from moe_lib.model.operations import Operations
from moe_lib.model.reference import loop
from moe_lib.model.routing import Routing
from moe_lib.native import why_not

Backend = Callable[[Tensor, Routing, Tensor, Tensor, Tensor, bool], Tensor]

BACKENDS: dict[str, Backend] = {"loop": loop, "grouped_mm": grouped_mm, "native": native.experts}
NAMES = (*BACKENDS, "megablocks")


@cache
def default_backend(device: torch.device) -> str:
    """`native` on the CPU, `grouped_mm` elsewhere; also `grouped_mm`, with a notice, if the kernels cannot be built."""
    if device.type != "cpu":
        return "grouped_mm"
    problem = why_not()
    if problem is None:
        return "native"
    warnings.warn(f"{problem}; grouped_mm is used, which is slower", Notice, stacklevel=2)
    return "grouped_mm"


def backend_for(model: ModelConfig, device: torch.device) -> str:
    """The default back end of a device; `loop`, with a notice, if `grouped_mm` does not support the widths."""
    default = default_backend(device)
    if default == "grouped_mm" and (problem := widths_problem(model)):
        warnings.warn(f"{problem}; loop is used, which is slower", Notice, stacklevel=3)
        return "loop"
    return default


def problem_of(backend: str) -> str | None:
    """None if a back end can run here, else the reason in words."""
    return {"native": why_not, "megablocks": megablocks.why_not}.get(backend, lambda: None)()


def check_backend(backend: str, model: ModelConfig, precision: Precision = "float32") -> None:
    """`InputError` if a back end is unknown, cannot run here, or does not support this model or precision."""
    if backend not in NAMES:
        raise InputError(f"backend = {backend!r} has to be one of {', '.join(NAMES)}")
    if problem := problem_of(backend) or (widths_problem(model) if backend == "grouped_mm" else None):
        raise InputError(problem)
    if backend == "megablocks" and precision != "float32":
        raise InputError(
            f"precision = {precision!r} is not for backend = 'megablocks', which has its own; leave it out"
        )


def device_of(backend: str | None = None) -> torch.device:
    """The device for training: CUDA if it is available and the requested back end is not `native`."""
    return torch.device("cuda" if torch.cuda.is_available() and backend != "native" else "cpu")


def operations_of(backend: str) -> Operations:
    """The kernels for `native`, plain PyTorch for every other back end."""
    return native if backend == "native" else reference
