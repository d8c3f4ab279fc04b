"""Every figure of a chapter can be drawn again from its code, with the files that the site offers."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from moe_lib.chapter_figures import cells, draw, figures
from moe_lib.cli.app import app
from moe_lib.errors import InputError
from moe_lib.repository import BOOK


def test_every_figure_of_the_book_has_its_chapter() -> None:
    named = {
        line.split()[1]
        for page in BOOK.glob("*.md")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("    name: fig-")
    }
    assert named
    assert figures().keys() == named


def test_code_is_read_whatever_options_a_cell_has(tmp_path: Path) -> None:
    fence = "```"
    plain = f"{fence}{{code-cell}} ipython3\na = 1\n{fence}\n"
    tagged = f"{fence}{{code-cell}} ipython3\n:tags: [hide-input]\n\nb = 2\n{fence}\n"
    drawn = f"{fence}{{code-cell}} ipython3\n---\nmystnb:\n  figure: {{name: fig-c}}\n---\nc\n{fence}\n"
    page = tmp_path / "page.md"
    page.write_text(plain + "prose\n" + tagged + drawn)
    assert [(cell.code.strip(), cell.figure) for cell in cells(page)] == [
        ("a = 1", None),
        ("b = 2", None),
        ("c", "fig-c"),
    ]


def test_an_unknown_figure_is_rejected() -> None:
    with pytest.raises(InputError, match="'fig-none' is not a figure of the book"):
        draw("fig-none")


def test_the_command_writes_picture_and_data(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["figure", "fig-landing", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    names = [Path(line).name for line in result.output.split()]
    assert names == ["fig-landing.svg", "fig-landing.pdf", "fig-landing.csv"]
    lines = pd.read_csv(tmp_path / "fig-landing.csv").query("kind == 'line'")
    assert lines["series"].dropna().nunique() == 2, "dense, and the best sparsity"
    assert lines["x_axis"].unique().tolist() == ["total parameters N"]


def test_the_command_lists_figures_with_their_chapters() -> None:
    assert "fig-slice                 interplay" in CliRunner().invoke(app, ["figure"]).output
