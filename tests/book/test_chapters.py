"""Chapters run and print what is recorded, and a page that prints something else fails."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import chapters

CHAPTER = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# A page

```{code-cell} ipython3
:tags: [nbval-check-output]

print(6 * 7)
```

```{code-cell} ipython3
print("not held to anything")
```
"""


@pytest.fixture(scope="module")
def recorded_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("book") / "page.md"
    page.write_text(CHAPTER, encoding="utf-8")
    chapters.record([page])
    return page


def test_only_checked_cells_are_recorded(recorded_page: Path) -> None:
    assert chapters.read_record(recorded_page) == [{"cell": "print(6 * 7)", "prints": ["42"]}]


def test_a_page_that_prints_what_is_recorded_passes(recorded_page: Path) -> None:
    assert chapters.verify([recorded_page]) == 0


def test_a_page_that_prints_something_else_fails_and_names_chapter_and_cell(
    recorded_page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(CHAPTER.replace("6 * 7", "6 * 7 + 2"), encoding="utf-8")
    (tmp_path / "recorded").mkdir()
    chapters.record_path(page).write_text(chapters.record_path(recorded_page).read_text())
    assert chapters.verify([page]) == 1
    said = capsys.readouterr().out
    assert "page.md, checked cell 1" in said
    assert "-42" in said
    assert "+44" in said
    head, row, total = (line.split() for line in said.splitlines()[-3:])
    assert head == ["chapter", "seconds", "checked", "cells", "differences"]
    assert (row[0], *row[2:]) == ("page", "1", "1")
    assert (total[0], *total[2:]) == ("all", "1", "1")


@pytest.mark.parametrize(("recorded", "agrees"), [("42", True), ("43", True), ("44", False), ("forty-two", False)])
def test_verify_and_nbval_judge_a_page_alike(recorded: str, agrees: bool, folder_of_the_house: Path) -> None:
    page = folder_of_the_house / "page.md"
    page.write_text(CHAPTER, encoding="utf-8")
    (folder_of_the_house / "recorded").mkdir()
    chapters.record_path(page).write_text(json.dumps([{"cell": "print(6 * 7)", "prints": [recorded]}]))
    chapters.write_notebook(page, folder_of_the_house)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", page.with_suffix(".ipynb")]
    nbval = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True)
    assert (nbval.returncode == 0) is agrees, nbval.stdout
    assert (chapters.verify([page]) == 0) is agrees


@pytest.fixture
def folder_of_the_house() -> Iterator[Path]:
    """A folder in which pytest finds the checkout's own conftest.py, as it does for the chapters."""
    (chapters.ROOT / "_build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chapters.ROOT / "_build") as folder:
        yield Path(folder)


def test_a_checked_cell_that_was_never_recorded_fails(recorded_page: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(CHAPTER, encoding="utf-8")
    assert "run make record" in chapters.differences(page, chapters.execute(page))[0]
    with pytest.raises(SystemExit, match="run make record"):
        chapters.write_notebook(page, tmp_path)


@pytest.mark.parametrize("folders", [[], ["one", "two"]])
def test_notebooks_go_to_one_named_folder_and_no_other_is_emptied(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["chapters.py", "notebooks", *folders])
    with pytest.raises(SystemExit):
        chapters.main()
    assert f"notebooks takes one folder, not {len(folders)}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.ipynb"]


def test_every_record_belongs_to_a_chapter() -> None:
    names = {page.stem for page in chapters.chapters()}
    assert {path.stem for path in (chapters.ROOT / "book" / "recorded").glob("*.json")} <= names


def test_the_flops_chapter_executes_and_prints_what_is_recorded() -> None:
    page = chapters.ROOT / "book" / "flops.md"
    assert chapters.differences(page, chapters.execute(page)) == []


def test_a_table_is_recorded_as_the_text_that_it_has_beside_its_html(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shown = 'from moe_lib.book import checked\n\nchecked({"answer": ("{}", 6 * 7)})'
    page.write_text(CHAPTER.replace("print(6 * 7)", shown), encoding="utf-8")
    chapters.record([page])
    assert chapters.read_record(page)[0]["prints"] == ["answer  42"]
    assert chapters.verify([page]) == 0
