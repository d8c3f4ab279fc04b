"""The house has floors: imports run downwards only, and the ground floor never imports torch."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chapters
import moe_lib

HOUSE = Path(moe_lib.__file__).parent
DESIGN = chapters.ROOT / "docs" / "design.md"
README = chapters.ROOT / "README.md"


def floors(design: str) -> dict[str, int]:
    """The floor of each room, from the table of floors in the design."""
    rows = re.findall(r"^\| (\d) \| (`.*?) \|", design, re.MULTILINE)
    return {room: int(floor) for floor, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}


FLOOR = floors(DESIGN.read_text(encoding="utf-8"))
MODULES = sorted(HOUSE.rglob("*.py"))


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")


def room_of(name: str) -> str:
    return name.split(".")[0]


def imported(module: Path) -> Iterator[str]:
    """Modules of this package that a module imports, at the top or late, under their names in the house."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("moe_lib.") for alias in node.names if "moe_lib." in alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module == "moe_lib":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moe_lib."):
            yield (node.module or "").removeprefix("moe_lib.")


def test_the_design_names_every_room_and_no_other() -> None:
    assert FLOOR.keys() == {room_of(name_of(module)) for module in MODULES} - {"__init__"}


def test_the_map_in_the_readme_names_every_room_and_no_other() -> None:
    library = README.read_text(encoding="utf-8").partition("| room |")[2].partition("\n\n")[0]
    rooms = re.findall(r"`(\w+)(?:\.py|/)`", library)
    assert sorted(rooms) == sorted({room_of(name_of(module)) for module in MODULES} - {"__init__"})


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_imports_run_downwards_only(module: Path) -> None:
    own = room_of(name_of(module))
    if own == "__init__":
        assert not list(imported(module))
        return
    for name in imported(module):
        assert FLOOR[room_of(name)] <= FLOOR[own], f"{name_of(module)} imports {name}, which is above it"


def test_the_ground_floor_does_not_import_torch() -> None:
    names = ", ".join(f"moe_lib.{name_of(path)}" for path in MODULES if FLOOR.get(room_of(name_of(path))) == 0)
    program = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
