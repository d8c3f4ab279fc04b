"""Replaces nbval's comparison of a checked cell by that of `make verify` (tools/outputs.py)."""

from nbformat import NotebookNode
from nbval.plugin import IPyNbCell  # type: ignore[import-untyped]

import chapters
from outputs import Tolerance, differences


def compare_outputs(
    cell: IPyNbCell, found: list[NotebookNode], recorded: list[NotebookNode], skip_compare: object = None
) -> bool:
    """Whether a cell's output agrees with its record; if not, nbval shows the traceback."""
    tolerance = Tolerance.of(cell.cell.metadata)
    cell.comparison_traceback = differences(chapters.printed(found), chapters.printed(recorded), tolerance)
    return not cell.comparison_traceback


def install() -> None:
    """Use this comparison for every cell that nbval runs in this process."""
    IPyNbCell.compare_outputs = compare_outputs
