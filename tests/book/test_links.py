"""Files of the built site: every figure and every chapter has its downloads."""

import json
from functools import cache
from pathlib import Path

import pytest

import chapters
from moe_lib.chapter_figures import figures

pytestmark = pytest.mark.browser


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_figure_has_its_files_and_the_command_that_draws_it(site: Path) -> None:
    for name, chapter in figures().items():
        page = site / "book" / f"{chapter.stem}.html"
        assert f"moe-lib figure {name}" in text_of(page)
        for suffix in ("svg", "pdf", "csv"):
            assert f'href="../figures/{name}.{suffix}"' in text_of(page)
            assert (site / "figures" / f"{name}.{suffix}").stat().st_size > 100


def test_every_chapter_has_its_executed_notebook(site: Path) -> None:
    for chapter in chapters.chapters():
        notebook = site / "_sources" / "book" / f"{chapter.stem}.ipynb"
        assert f'href="../_sources/book/{notebook.name}"' in text_of(site / "book" / f"{chapter.stem}.html")
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert any(cell.get("outputs") for cell in cells), notebook.name
