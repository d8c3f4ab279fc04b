"""The training step's kernels: C++ built once on the machine that runs them, for float32 on one CPU thread."""

from moe_lib.native.boundary import buffer_size, call
from moe_lib.native.library import why_not

__all__ = ["buffer_size", "call", "why_not"]
