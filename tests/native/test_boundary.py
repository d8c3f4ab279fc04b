"""The kernels' boundary: what C++ declares is what Python calls, and a wrong tensor is refused in a sentence."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from moe_lib.errors import InputError
from moe_lib.native import boundary, buffer_size, call, why_not

PROTOTYPE = re.compile(r'extern "C" void (\w+)\(([^)]*)\)')
C_TYPES = {torch.float32: "float", torch.float64: "double", torch.int64: "int64_t"}

needs_compiler = pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here")


def declared_in_python(kernel: str) -> list[tuple[str, str]]:
    """Names and types of a kernel's arguments as C writes them, without const."""
    arguments = []
    for argument in boundary.signature(kernel):
        kind = C_TYPES[argument.dtype]
        if argument.many:
            kind = "int64_t*" if argument.shape is None else f"{kind}* *"
        elif argument.shape is not None:
            kind = f"{kind}*"
        elif kind == "int64_t":
            kind = "long"
        arguments.append((kind, argument.name))
    return arguments


def declared_in_c() -> dict[str, list[tuple[str, str]]]:
    """The same of every kernel in the sources."""
    sources = "".join(path.read_text() for path in Path(boundary.__file__).parent.glob("*.h"))
    kernels = {}
    for kernel, arguments in PROTOTYPE.findall(sources):
        words = [" ".join(one.replace("const", "").split()).rpartition(" ") for one in arguments.split(",")]
        kernels[kernel] = [(kind, name) for kind, _, name in words]
    return kernels


def test_signatures_are_those_of_the_sources() -> None:
    assert declared_in_c() == {kernel: declared_in_python(kernel) for kernel in boundary.SIGNATURES}


def linear(x: Tensor, w: Tensor, y: Tensor) -> None:
    call("linear", x, w, 5, 6, 7, False, y)


GOOD = {"x": torch.ones(5, 6), "w": torch.ones(7, 6), "y": torch.ones(5, 7)}


@needs_compiler
@pytest.mark.parametrize(
    ("name", "wrong", "given"),
    [
        ("x", torch.ones(5, 6, dtype=torch.float64), "float64"),
        ("x", torch.ones(6, 5), r"\[6, 5\]"),
        ("x", torch.ones(30), r"\[30\]"),
        ("x", torch.ones(6, 5).T, "not contiguous"),
        ("x", torch.ones(5, 6, device="meta"), "on meta"),
        ("w", torch.ones(6, 6), r"\[6, 6\]"),
        ("y", torch.ones(5, 6), r"\[5, 6\]"),
        ("y", None, "None"),
    ],
)
def test_a_wrong_tensor_is_refused_in_a_sentence(name: str, wrong: Tensor | None, given: str) -> None:
    with pytest.raises(InputError, match=rf"the kernel linear takes {name} as float32 .* not as .*{given}") as refused:
        linear(**GOOD | {name: wrong})  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


@needs_compiler
def test_leading_dimensions_may_be_split() -> None:
    call("linear", torch.ones(5, 2, 6), torch.ones(7, 6), 10, 6, 7, False, y := torch.empty(5, 2, 7))
    assert torch.equal(y, torch.full((5, 2, 7), 6.0))


@needs_compiler
def test_a_buffer_of_another_block_size_is_refused() -> None:
    size = buffer_size("logit_buffer", 5, 7, True)
    assert size >= 5 * 7
    x, w, target = torch.ones(5, 6), torch.ones(7, 6), torch.zeros(5, dtype=torch.int64)
    nll, log_partition = torch.empty(5), torch.empty(5)
    with pytest.raises(InputError, match="takes logits as float32"):
        call("next_token_nll", x, w, target, 5, 6, 7, False, True, nll, log_partition, torch.empty(size - 1))


@needs_compiler
def test_a_gradient_of_another_size_than_its_weight_is_refused() -> None:
    squares = torch.empty((), dtype=torch.float64)
    with pytest.raises(InputError, match=r"takes gradients as float32 \[sizes\] = \[3\].* not as float32 \[4\]"):
        call("sum_of_squares", [torch.ones(2), torch.ones(4)], [2, 3], 2, squares)
    call("sum_of_squares", [torch.ones(2), torch.ones(3)], [2, 3], 2, squares)
    assert squares == 5
