"""The C++ kernels of a training step, built once on the machine that runs them; float32 on one CPU thread."""

from moe_lib.native.boundary import buffer_size, call
from moe_lib.native.library import why_not, wrong

__all__ = ["buffer_size", "call", "why_not", "wrong"]
