"""Named slices of text: the sources of a corpus's documents, and their licences."""

import ast
import hashlib
import importlib.metadata
import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe_lib.errors import InputError, escaped
from moe_lib.files import sha256_of
from moe_lib.reading import json_value, open_regular, read_text

MIN_DOCUMENT = 200  # characters; shorter docstrings are signatures, not prose
LONGEST_LINE = 2**26  # bytes of JSONL
MAX_PIECE = 8_000  # characters per document when a file of plain text is cut at paragraphs


@dataclass(frozen=True)
class TextSlice:
    """One source of a mixture. `sources` (name -> version or hash) identifies the text without reading it."""

    name: str
    prose: bool
    licence: str
    sources: dict[str, str]
    read: Callable[[], Iterable[str]]


# --- Python packages -------------------------------------------------------------------------------------------

EMBEDDED_PACKAGES = ("matplotlib", "networkx", "numpy", "pandas", "scipy", "sympy")
EMBEDDED_SOURCE_BYTES = 8_000_000  # enough code to learn its form; more would outweigh the prose


def embedded_slices() -> list[TextSlice]:
    """English docstrings and source code of installed dependencies; needs no download."""
    versions = {name: importlib.metadata.version(name) for name in EMBEDDED_PACKAGES}
    files = [path for name in EMBEDDED_PACKAGES for path in _modules_of(name)]
    parsed: list[tuple[str, str]] = []

    def split_all() -> list[tuple[str, str]]:
        if not parsed:
            parsed.extend(split_module(path.read_text(encoding="utf-8")) for path in files)
        return parsed

    def code() -> Iterator[str]:
        room = EMBEDDED_SOURCE_BYTES
        # An even sample, independent of the held-out split, which uses the first bytes of the key.
        for _, source in sorted(split_all(), key=lambda pair: hashlib.sha256(pair[1].encode()).digest()[::-1]):
            room -= len(source)
            if room < 0:
                return
            yield source

    licence = "BSD-3-Clause; matplotlib: its own licence in the manner of the PSF"
    return [
        TextSlice("docstrings", True, licence, versions, lambda: (prose for prose, _ in split_all())),
        TextSlice("source", False, licence, versions, code),
    ]


def _modules_of(package: str) -> list[Path]:
    files = importlib.metadata.files(package) or []
    modules = (file for file in files if file.suffix == ".py" and not {"tests", "testing"} & set(file.parts))
    return sorted(Path(str(file.locate())) for file in modules)


def split_module(source: str) -> tuple[str, str]:
    """A Python module as (its docstrings, its source without them); ("", "") if it does not parse."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "", ""
    lines = source.splitlines(keepends=True)
    prose = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
            continue
        first = node.body[0]
        if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
            continue
        text = first.value.value
        if isinstance(text, str):
            prose.append(inspect.cleandoc(text))
            lines[first.lineno - 1 : first.end_lineno] = [""] * ((first.end_lineno or first.lineno) - first.lineno + 1)
    return "\n\n".join(part for part in prose if len(part) >= MIN_DOCUMENT), "".join(lines)


# --- A reader's own text ---------------------------------------------------------------------------------------

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".jsonl")


def path_slices(path: Path) -> list[TextSlice]:
    """One slice from a file of text, a JSONL file with one `text` per row, or a folder of such files."""
    files = _texts_below(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"corpus = '{path}' has no file whose name ends in {', '.join(TEXT_SUFFIXES)}")
    sources = {escaped(str(file.relative_to(path.parent))): sha256_of(file) for file in files}

    def read() -> Iterator[str]:
        for file in files:
            yield from jsonl_texts(file) if file.suffix == ".jsonl" else _pieces(file)

    return [TextSlice(escaped(path.stem), True, "as its owner says", sources, read)]


def _texts_below(folder: Path) -> list[Path]:
    """Files of text in a folder, in order; `InputError` for a link out of the folder, which may lead anywhere."""
    files = []
    below = [Path(here, name) for here, *names in os.walk(folder, onerror=_raise) for name in itertools.chain(*names)]
    for path in sorted(below):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise InputError(f"corpus = '{folder}' has a link out of it, {path}; copy the text into the folder instead")
        if path.suffix in TEXT_SUFFIXES and not path.is_dir():
            files.append(path)
    return files


def _raise(error: OSError) -> None:
    """For a folder that cannot be read: its texts would be missing without a word."""
    raise error


def jsonl_texts(path: Path) -> Iterator[str]:
    """The field `text` of every row (RedPajama's schema); `InputError` names the line of a row without one."""
    for number, row in jsonl_rows(path):
        text = row.get("text") if isinstance(row, dict) else None
        if not isinstance(text, str):
            raise InputError(f"{path}: line {number} has no field text that is a string")
        yield text


def jsonl_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Every line's number and value; `InputError` names a line that is not JSON or not valid Unicode."""
    with os.fdopen(open_regular(path), "rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), start=1):
            if len(line) > LONGEST_LINE:
                raise InputError(f"{path}: line {number} is longer than {LONGEST_LINE / 2**20:g} MiB")
            try:
                row = json_value(line, finite=False)
            except ValueError as error:
                raise InputError(
                    f"{path}: line {number} has to be JSON of whole characters in UTF-8 ({error})"
                ) from None
            yield number, row


def _pieces(path: Path) -> Iterator[str]:
    return pieces(read_text(path))


def pieces(text: str) -> Iterator[str]:
    """Cut a text between paragraphs into pieces of at most `MAX_PIECE` characters; longer paragraphs stay whole."""
    piece: list[str] = []
    size = 0
    for paragraph in text.split("\n\n"):
        if piece and size + len(paragraph) > MAX_PIECE:
            yield "\n\n".join(piece)
            piece, size = [], 0
        piece.append(paragraph)
        size += len(paragraph)
    yield "\n\n".join(piece)
