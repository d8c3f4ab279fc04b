"""Cached results are dropped if anything that a chapter computes from has changed, and only then."""

import re
from pathlib import Path

import pytest

import build_book
import chapters


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "src/moe_lib").mkdir(parents=True)
    (tmp_path / "src/moe_lib/laws.py").write_text("LAW = 1\n")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/runs.jsonl").write_text("{}\n")
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/all.txt").write_text("numpy==2.0 --hash=sha256:00\n")
    build_book.drop_stale_results(tmp_path)
    (tmp_path / "_build/.jupyter_cache").mkdir()
    return tmp_path


def test_results_are_kept_while_nothing_changes(house: Path) -> None:
    assert not build_book.drop_stale_results(house)
    assert (house / "_build/.jupyter_cache").exists()


@pytest.mark.parametrize(
    "source", ["src/moe_lib/laws.py", "experiments/runs.jsonl", "constraints.txt", "requirements/all.txt"]
)
def test_results_are_dropped_when_a_source_changes(house: Path, source: str) -> None:
    (house / source).write_text("something else\n")
    assert build_book.drop_stale_results(house)
    assert not (house / "_build/.jupyter_cache").exists()


def test_results_are_dropped_when_a_source_appears(house: Path) -> None:
    (house / "src/moe_lib/new.py").touch()
    assert build_book.drop_stale_results(house)


def test_bytecode_is_not_a_source(house: Path) -> None:
    (house / "src/moe_lib/__pycache__").mkdir()
    (house / "src/moe_lib/__pycache__/laws.pyc").touch()
    assert not build_book.drop_stale_results(house)


def test_the_formulas_script_names_no_other_host(tmp_path: Path) -> None:
    build_book.lay_mathjax(tmp_path / "vendor" / "tex-svg.js")
    script = (tmp_path / "vendor" / "tex-svg.js").read_bytes()
    assert len(script) > 1_000_000
    hosts = {url.split(b"/")[2] for url in re.findall(rb"https?://[a-zA-Z0-9./-]+", script)}
    assert hosts == {b"www.w3.org"}  # of names of XML's vocabularies, which nothing fetches


def test_a_coefficient_a_row_and_a_pin_of_the_book_are_sources() -> None:
    """The files that hold them are among those whose change drops cached results."""
    for path in ("src/moe_lib/laws/published.py", "experiments/results/runs.jsonl", "requirements/all.txt"):
        assert (chapters.ROOT / path).is_file()
        assert any(path.startswith(source) for source in build_book.SOURCES), path
