"""The kernels' signatures; every call is checked against them.

A signature lists a kernel's arguments in order. `n` is an integer and `epsilon:float` a number. `x[n, d]` is a float32
tensor of that shape, `expert:int64[n]` has another dtype, and `w?[d]` may be None. `weights*[sizes]` are tensors whose
numbers of elements are the integers `sizes*`. Leading dimensions of a tensor may be split. The library computes the
sizes of buffers that depend on the kernels' blocks (`expert_buffer`, `logit_buffer`).
"""

import ctypes
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from moe_lib.errors import InputError
from moe_lib.native.library import library

SIGNATURES = {
    "linear": "x[n, d] w[n_rows, d] n d n_rows rounded y[n, n_rows]",
    "linear_backward": "x[n, d] w[n_rows, d] dy[n, n_rows] n d n_rows rounded dx[n, d] dw[n_rows, d]",
    "norm": "x[n, d] w[d] epsilon:float n d y[n, d] scale[n]",
    "norm_backward": "dy[n, d] x[n, d] w[d] scale[n] n d dx[n, d] dw[d]",
    "attention": "qkv[batch, length, 3 * heads * width] q_weight?[heads * width] k_weight?[heads * width]"
    " cos[length, width] sin[length, width] epsilon:float batch length heads width"
    " out[batch, length, heads * width] log_partition[batch, heads, length]",
    "attention_backward": "qkv[batch, length, 3 * heads * width] q_weight?[heads * width] k_weight?[heads * width]"
    " cos[length, width] sin[length, width] epsilon:float batch length heads width"
    " out[batch, length, heads * width] log_partition[batch, heads, length] dout[batch, length, heads * width]"
    " dqkv[batch, length, 3 * heads * width] dq_weight?[heads * width] dk_weight?[heads * width]",
    "route": "logits[n, n_experts] n n_experts n_active probability[n, n_experts] expert:int64[n, n_active]"
    " gate[n, n_active] log_partition[n] load:int64[n_experts] mean_probability[n_experts] entropy[]",
    "route_backward": "probability[n, n_experts] expert:int64[n, n_active] dgate[n, n_active] dlog_partition[n]"
    " dmean_probability[n_experts] n n_experts n_active dlogits[n, n_experts]",
    "experts": "x[n, d] expert:int64[n, n_active] gate[n, n_active]"
    " w1[n_experts, f, d] v1[n_experts, f, d] w2[n_experts, f, d] n d f n_experts n_active rounded kept"
    " y[n, d] hidden[expert_buffer(n * n_active, n_experts, f, kept)]",
    "experts_backward": "x[n, d] expert:int64[n, n_active] gate[n, n_active]"
    " w1[n_experts, f, d] v1[n_experts, f, d] w2[n_experts, f, d]"
    " hidden[expert_buffer(n * n_active, n_experts, f, 1)] dy[n, d] n d f n_experts n_active rounded"
    " dx[n, d] dgate[n, n_active] dw1[n_experts, f, d] dv1[n_experts, f, d] dw2[n_experts, f, d]",
    "next_token_nll": "x[n, d] w[vocabulary, d] target:int64[n] n d vocabulary rounded kept"
    " nll[n] log_partition[n] logits[logit_buffer(n, vocabulary, kept)]",
    "next_token_nll_backward": "x[n, d] w[vocabulary, d] target:int64[n] logits[logit_buffer(n, vocabulary, 1)]"
    " log_partition[n] dnll[n] n d vocabulary rounded dx[n, d] dw[vocabulary, d]",
    "orthogonalize": "x[n, d, d] n d steps a:float b:float c:float",
    "sum_of_squares": "gradients*[sizes] sizes* n_tensors squares:float64[]",
    "adam": "weights*[sizes] gradients*[sizes] firsts*[sizes] seconds*[sizes] sizes* n_tensors"
    " scale:float rate:float beta1:float beta2:float epsilon:float keep:float root:float",
    "move_to_huge_pages": "tensors*[sizes] sizes* n_tensors",
}
BUFFERS = {"expert_buffer": 4, "logit_buffer": 3}  # functions of so many integers: floats that a buffer holds
ARGUMENT = re.compile(r"(?P<name>\w+)(?P<mark>[?*]?)(:(?P<dtype>\w+))?(\[(?P<shape>[^\]]*)\])?(?:\s+|$)")


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel: a number if `shape` is None, else a tensor, or several tensors if `many`."""

    name: str
    dtype: torch.dtype
    shape: str | None
    optional: bool
    many: bool

    @property
    def c_type(self) -> Any:
        """The argument's type in ctypes."""
        if self.shape is not None or self.many:
            return ctypes.c_void_p
        return ctypes.c_float if self.dtype == torch.float else ctypes.c_long


@cache
def signature(kernel: str) -> tuple[Argument, ...]:
    """A kernel's arguments in their order."""
    return tuple(
        Argument(
            found["name"],
            getattr(torch, found["dtype"] or ("int64" if found["shape"] is None else "float32")),
            found["shape"],
            found["mark"] == "?",
            found["mark"] == "*",
        )
        for found in ARGUMENT.finditer(SIGNATURES[kernel])
    )


def call(kernel: str, *arguments: Tensor | Sequence[Tensor] | Sequence[int] | float | None) -> None:
    """Call a kernel, which writes into its last tensors.

    Raises `InputError` if a tensor does not match its signature: dtype, shape, contiguous, on the CPU.
    """
    _checked(kernel)(*arguments)


def buffer_size(name: str, *sizes: int) -> int:
    """Size of a buffer of `BUFFERS`, in floats."""
    return int(_buffers()[name](*sizes))


@cache
def _checked(kernel: str) -> Callable[..., None]:
    """The kernel as a function that first checks its tensors, written out: a loop would take a percent of a step."""
    function, declared = getattr(library(), kernel), signature(kernel)
    function.argtypes, function.restype = [argument.c_type for argument in declared], None
    lines = [f"def checked({', '.join(argument.name for argument in declared)}):"]
    values = []
    for index, (name, dtype, shape, optional, many) in enumerate(map(astuple, declared)):
        if many:
            values.append(f"integers({name})" if shape is None else f"addresses({index}, {name}, {shape})")
        elif shape is None:
            values.append(name)
        else:
            shape = f"({shape},)" if shape else "()"
            fits = f"{name}.dtype is torch.{_name(dtype)} and ({name}.shape == {shape} or split({name}, {shape}))"
            fits = f"isinstance({name}, Tensor) and {fits} and {name}.is_contiguous() and {name}.is_cpu"
            lines.append(f"    if not ({fits}{f' or {name} is None' if optional else ''}):")
            lines.append(f"        refuse({index}, {name}, {shape})")
            values.append(f"{name} if {name} is None else {name}.data_ptr()" if optional else f"{name}.data_ptr()")
    lines.append(f"    function({', '.join(values)})")

    def refuse(index: int, value: object, shape: tuple[int, ...]) -> None:
        raise InputError(_refusal(kernel, declared[index], value, shape))

    def addresses(index: int, tensors: Sequence[Tensor], sizes: Sequence[int]) -> Any:
        for one, size in zip(tensors, sizes, strict=True):
            if not (one.dtype is torch.float32 and one.numel() == size and one.is_contiguous() and one.is_cpu):
                refuse(index, one, (size,))
        return (ctypes.c_void_p * len(tensors))(*[one.data_ptr() for one in tensors])

    scope: dict[str, Any] = _buffers() | {"torch": torch, "Tensor": Tensor, "split": _split, "integers": _integers}
    scope |= {"function": function, "refuse": refuse, "addresses": addresses}
    exec("\n".join(lines), scope)
    checked: Callable[..., None] = scope["checked"]
    return checked


def _split(value: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor's shape is the expected one with its first dimension split."""
    return (
        value.ndim > len(shape) > 0
        and value.numel() == math.prod(shape)
        and value.shape[value.ndim - len(shape) + 1 :] == shape[1:]
    )


def _integers(values: Sequence[int]) -> Any:
    return (ctypes.c_int64 * len(values))(*values)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _refusal(kernel: str, argument: Argument, value: object, shape: tuple[int, ...]) -> str:
    given: object = value
    if isinstance(value, Tensor):
        given = f"{_name(value.dtype)} {list(value.shape)}, {'' if value.is_contiguous() else 'not '}contiguous"
        given = f"{given}, on {value.device}"
    return (
        f"the kernel {kernel} takes {argument.name} as {_name(argument.dtype)} [{argument.shape}] = {list(shape)}, "
        f"contiguous and on the CPU, and not as {given}"
    )


@cache
def _buffers() -> dict[str, Any]:
    functions = {name: getattr(library(), name) for name in BUFFERS}
    for name, function in functions.items():
        function.argtypes, function.restype = [ctypes.c_long] * BUFFERS[name], ctypes.c_long
    return functions
