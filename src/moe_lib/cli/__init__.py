"""The `moe-lib` command: it reads arguments, calls a room, prints; it holds no logic."""

from moe_lib.cli.app import main

__all__ = ["main"]
