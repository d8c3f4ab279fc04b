"""nbval's comparison of a checked cell, replaced by that of `make verify` (tools/outputs.py)."""

from nbformat import NotebookNode
from nbval.plugin import IPyNbCell  # type: ignore[import-untyped]

import chapters
from outputs import Tolerance, differences


def compare_outputs(
    cell: IPyNbCell, found: list[NotebookNode], recorded: list[NotebookNode], skip_compare: object = None
) -> bool:
    """Whether what a cell printed agrees with its record; nbval shows the traceback if it does not."""
    tolerance = Tolerance.of(cell.cell.metadata)
    cell.comparison_traceback = differences(chapters.printed(found), chapters.printed(recorded), tolerance)
    return not cell.comparison_traceback


def install() -> None:
    """Make every cell that nbval runs in this process compare that way."""
    IPyNbCell.compare_outputs = compare_outputs
