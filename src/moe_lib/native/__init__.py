"""The training step's kernels: C++ built once on the machine that runs them, for float32 on one CPU thread."""

from moe_lib.native.library import addresses, call, why_not

__all__ = ["addresses", "call", "why_not"]
