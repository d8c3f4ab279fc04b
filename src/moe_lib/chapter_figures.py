"""Figures of the book, drawn again from the code of their chapters."""

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from moe_lib.errors import InputError
from moe_lib.repository import BOOK, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?:---\n(.*?)^---\n|(?::[^\n]*\n)+)?(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """A chapter's code cell, and the name of the figure that it displays, if it displays one."""

    code: str
    figure: str | None


def cells(chapter: Path) -> Iterator[Cell]:
    """The code cells of a chapter, in order."""
    for header, code in CELL.findall(chapter.read_text(encoding="utf-8")):
        options = yaml.safe_load(header) or {}
        yield Cell(code, options.get("mystnb", {}).get("figure", {}).get("name"))


def figures() -> dict[str, Path]:
    """The chapter of every figure, by the figure's name; `InputError` outside a checkout."""
    chapters = sorted(require(BOOK, "a figure of the book").glob("*.md"))
    return {cell.figure: chapter for chapter in chapters for cell in cells(chapter) if cell.figure}


def draw(name: str) -> "Figure":
    """Execute a chapter up to the cell of one figure, and return the figure; `InputError` if none has this name."""
    known = figures()
    if name not in known:
        raise InputError(f"{name!r} is not a figure of the book; `moe-lib figure` lists them")
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells(known[name]):
        with contextlib.redirect_stdout(io.StringIO()):
            shown = _execute(cell.code, names, str(known[name]))
        if cell.figure == name:
            break
    drawn: Figure = shown
    return drawn


def _execute(code: str, names: dict[str, Any], where: str) -> Any:
    """Run a cell in a namespace; returns the value of its last line, as a notebook displays it."""
    body = ast.parse(code, where).body
    last = body[-1] if body else None
    if not isinstance(last, ast.Expr):
        exec(compile(code, where, "exec"), names)
        return None
    exec(compile(ast.Module(body[:-1], []), where, "exec"), names)
    return eval(compile(ast.Expression(last.value), where, "eval"), names)
