"""docs/fitting.md: it uses every option of the commands it describes, and none that does not exist."""

import re
from pathlib import Path

import pytest
import typer.main

from moe_lib.cli.app import app

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "fitting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["fit", "predict"])
def test_the_guide_uses_every_option_of(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    exists = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)).replace("\\\n", " ")
    used = {
        option for line in blocks.splitlines() if f"moe-lib {name}" in line for option in re.findall(r"--[a-z-]+", line)
    }
    shown = used | set(re.findall(r"`(--[a-z-]+)", GUIDE))
    assert used <= exists
    assert exists - shown - {"--help", "--json"} == set()
