"""The `moe-lib` command: reads arguments, calls the library and prints; it has no logic of its own."""

from moe_lib.cli.app import main

__all__ = ["main"]
