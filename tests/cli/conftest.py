"""Run the command as a user does: in a process of its own."""

import subprocess
import sys
from collections.abc import Callable

import pytest

Moe = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def moe() -> Moe:
    """`moe("flops", "--json")` runs `moe-lib flops --json` and hands back what it printed."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", "from moe_lib.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run
