"""Executes chapters: turns them into notebooks, records their checked outputs, and compares them with the record.

A chapter is a text notebook without outputs. book/recorded/<chapter>.json records what it must print, one entry for
each cell tagged `nbval-check-output`: the cell's first line and the lines that it printed or displayed as a table.
Outputs are compared as numbers (tools/outputs.py), here and when nbval runs the chapters.

    python tools/chapters.py notebooks DIR    # .ipynb files with recorded outputs inside, for pytest --nbval-lax
    python tools/chapters.py verify [CHAPTER ...]
    python tools/chapters.py record [CHAPTER ...]
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import jupytext  # type: ignore[import-untyped]
import nbformat
import yaml
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_output

import outputs

ROOT = Path(__file__).resolve().parents[1]
CHECKED = "nbval-check-output"
CELL_TIMEOUT = 600  # seconds; a busy machine can be ten times slower than a free one

Record = list[dict[str, object]]


def chapters(root: Path = ROOT) -> list[Path]:
    """The pages of the table of contents that have code, in reading order."""
    pages = [root / f"{page}.md" for page in page_names(root)]
    return [page for page in pages if "{code-cell}" in page.read_text(encoding="utf-8")]


def page_names(root: Path = ROOT) -> list[str]:
    """The pages of the table of contents, in reading order, without suffix."""
    return list(_pages(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def _pages(node: object) -> Iterable[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            elif isinstance(value, list):
                yield from _pages(value)
    elif isinstance(node, list):
        for item in node:
            yield from _pages(item)


def execute(chapter: Path) -> NotebookNode:
    """Run every cell of a chapter in a fresh kernel, in the chapter's folder, as the site's build does."""
    notebook: NotebookNode = jupytext.read(chapter)
    place = {"metadata": {"path": str(chapter.parent)}}
    NotebookClient(notebook, timeout=CELL_TIMEOUT, kernel_name="python3", resources=place).execute()
    return notebook


def checked_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells whose output is held to the record."""
    return [cell for cell in notebook.cells if CHECKED in cell.metadata.get("tags", [])]


def record_of(notebook: NotebookNode) -> Record:
    """What the checked cells of an executed notebook printed."""
    return [
        {"cell": _first_line(cell), "prints": printed(cell.outputs).splitlines()} for cell in checked_cells(notebook)
    ]


def _first_line(cell: NotebookNode) -> str:
    return str(cell.source.strip().splitlines()[0])


def printed(cell_outputs: Iterable[NotebookNode]) -> str:
    """What a cell wrote to standard output, and the text of the tables that it displayed, which are HTML on a page."""
    return "".join(_words(output) for output in cell_outputs)


def _words(output: NotebookNode) -> str:
    if output.get("name") == "stdout":
        return str(output.text)
    data = output.get("data", {})
    return f"{data['text/plain']}\n" if "text/html" in data else ""


def record_path(chapter: Path) -> Path:
    """Where a chapter's checked outputs are recorded."""
    return chapter.parent / "recorded" / f"{chapter.stem}.json"


def read_record(chapter: Path) -> Record:
    """The recorded outputs of a chapter; empty where nothing is recorded."""
    path = record_path(chapter)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def differences(chapter: Path, notebook: NotebookNode) -> list[str]:
    """One message for each checked cell of an executed chapter that does not agree with its record; empty if all do."""
    cells, found, recorded = checked_cells(notebook), record_of(notebook), read_record(chapter)
    if len(found) != len(recorded):
        return [f"{chapter.name}: {len(found)} checked cells, {len(recorded)} recorded; run make record"]
    messages = []
    for number, (cell, now, then) in enumerate(zip(cells, found, recorded, strict=True), 1):
        lines = outputs.differences(_text(now), _text(then), outputs.Tolerance.of(cell.metadata))
        if now["cell"] != then["cell"]:
            lines = [f"-{then['cell']}", f"+{now['cell']}", "  another first line of code; run make record", *lines]
        if lines:
            messages.append("\n  ".join([f"{chapter.name}, checked cell {number} ({now['cell']}):", *lines]))
    return messages


def _text(entry: dict[str, object]) -> str:
    return "".join(f"{line}\n" for line in entry["prints"])  # type: ignore[attr-defined]


def write_notebook(chapter: Path, folder: Path) -> None:
    """A chapter as .ipynb whose checked cells carry their recorded output, for nbval to compare with."""
    notebook, recorded = jupytext.read(chapter), read_record(chapter)
    cells = checked_cells(notebook)
    if len(cells) != len(recorded):
        sys.exit(f"{chapter.name}: {len(cells)} checked cells, {len(recorded)} recorded; run make record")
    for cell, entry in zip(cells, recorded, strict=True):
        cell.execution_count = 1  # nbval treats a cell without a number as never run
        cell.outputs = [new_output("stream", name="stdout", text=_text(entry))]  # type: ignore[no-untyped-call]
    nbformat.write(notebook, folder / f"{chapter.stem}.ipynb")  # type: ignore[no-untyped-call]


def verify(pages: list[Path]) -> int:
    """Execute chapters, compare with the record, and print a table; 1 if any cell differs."""
    start = time.perf_counter()
    rows: list[tuple[str, ...]] = []
    for page in pages:
        began = time.perf_counter()
        notebook = execute(page)
        messages = differences(page, notebook)
        print(
            f"{page.name}: {'differs from the record' if messages else 'as recorded'}", *messages, sep="\n", flush=True
        )
        checked = len(checked_cells(notebook))
        rows.append((page.stem, f"{time.perf_counter() - began:.0f}", str(checked), str(len(messages))))
    total = [str(sum(int(row[column]) for row in rows)) for column in (2, 3)]
    rows.append(("all", f"{time.perf_counter() - start:.0f}", *total))
    print("", f"{'chapter':26}{'seconds':>9}{'checked cells':>15}{'differences':>13}", sep="\n")
    for name, seconds, checked_now, different in rows:
        print(f"{name:26}{seconds:>9}{checked_now:>15}{different:>13}")
    return int(rows[-1][-1] != "0")


def record(pages: list[Path]) -> int:
    """Execute chapters and record what their checked cells print."""
    for page in pages:
        entries = record_of(execute(page))
        path = record_path(page)
        path.parent.mkdir(exist_ok=True)
        if entries:
            path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
        print(f"{page.name}: {len(entries)} checked cells recorded", flush=True)
    return 0


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description="Notebooks and records of the chapters.")
    parser.add_argument("task", choices=("notebooks", "verify", "record"))
    parser.add_argument("names", nargs="*", help="chapters (default: all), or the folder for notebooks")
    arguments = parser.parse_args()
    pages = chapters()
    if arguments.task == "notebooks":
        if len(arguments.names) != 1:
            parser.error(f"notebooks takes one folder, not {len(arguments.names)}")
        folder = Path(arguments.names[0])
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.ipynb"):
            old.unlink()
        for page in pages:
            write_notebook(page, folder)
        return 0
    if unknown := set(arguments.names) - {page.stem for page in pages}:
        parser.error(f"{', '.join(sorted(unknown))}: not a chapter with code in _toc.yml")
    chosen = [page for page in pages if not arguments.names or page.stem in arguments.names]
    return verify(chosen) if arguments.task == "verify" else record(chosen)


if __name__ == "__main__":
    sys.exit(main())
