"""`moe-lib figure`: a figure of the book with the numbers that it draws."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(figure)


def figure(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Such as fig-slice; without it, a list.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("."),
) -> None:
    """Draw a figure of the book again: SVG, PDF, and its data as CSV.

    Executes the code of its chapter up to the figure; works in a checkout of the repository.
    Example: `moe-lib figure fig-slice --out figures`
    """
    from moe_lib.chapter_figures import draw, figures

    if name is None:
        for known, chapter in figures().items():
            print(f"{known:26}{chapter.stem}")
        return
    from moe_lib.figures.files import write_files

    for path in write_files(draw(name), out, name):
        print(path)
