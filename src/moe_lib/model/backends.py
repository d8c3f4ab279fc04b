"""The back ends: their registry, the defaults, and the reasons why one cannot run here.

A back end is a function of tokens, routing and the experts' weights, such as `reference.loop`, and supplies the
operations for the rest of a layer. `megablocks` supplies a whole layer, including its router.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from moe_lib.config import Device, ModelConfig, Precision
from moe_lib.errors import InputError, Notice
from moe_lib.model import megablocks, native, reference
from moe_lib.model.grouped import grouped_mm, grouped_problem
from moe_lib.model.operations import Operations
from moe_lib.model.reference import loop
from moe_lib.model.routing import Routing
from moe_lib.native import why_not

Backend = Callable[[Tensor, Routing, Tensor, Tensor, Tensor, bool], Tensor]

BACKENDS: dict[str, Backend] = {"loop": loop, "grouped_mm": grouped_mm, "native": native.experts}
NAMES = (*BACKENDS, "megablocks")
CPU = torch.device("cpu")


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


def backend_for(model: ModelConfig, device: torch.device, precision: Precision = "float32") -> str:
    """The default back end of a device; `loop`, with a notice, if `grouped_mm` cannot compute the model there."""
    default = default_backend(device)
    if default == "grouped_mm" and (problem := grouped_problem(model, precision, device)):
        warnings.warn(f"{problem}; loop is used, which is slower", Notice, stacklevel=3)
        return "loop"
    return default


def problem_of(backend: str) -> str | None:
    """None if a back end can run here, else the reason in words."""
    return {"native": why_not, "megablocks": megablocks.why_not}.get(backend, lambda: None)()


def check_backend(
    backend: str, model: ModelConfig, precision: Precision = "float32", device: torch.device = CPU
) -> None:
    """`InputError` if a back end is unknown, cannot run here, or does not support this model, precision or device."""
    if backend not in NAMES:
        raise InputError(f"backend = {backend!r} has to be one of {', '.join(NAMES)}")
    if problem := problem_of(backend):
        raise InputError(problem)
    if backend == "grouped_mm" and (problem := grouped_problem(model, precision, device)):
        raise InputError(problem)
    if backend == "native" and device.type == "cuda":
        raise InputError("backend = 'native' is for the CPU; leave it out, or set training.device to cpu")
    if backend == "megablocks" and precision != "float32":
        raise InputError(
            f"precision = {precision!r} is not for backend = 'megablocks', which has its own; leave it out"
        )


def device_of(name: Device) -> torch.device:
    """The device of a run; `InputError` if torch finds no such device here."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("training.device = 'cuda' needs a CUDA device, and torch finds none; set it to cpu")
    return torch.device(name)


def name_of(device: torch.device) -> str:
    """The name of a GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def operations_of(backend: str) -> Operations:
    """The kernels for `native`, plain PyTorch for every other back end."""
    return native if backend == "native" else reference
