"""The slices of the reference corpus, on small archives of the same form; downloads, without a network."""

import gzip
import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from moe_lib.data import reference
from moe_lib.data.downloads import Pin, fetch
from moe_lib.errors import InputError


def archive(path: Path, files: dict[str, bytes | dict[str, Any]]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


LONG = (
    "<p>Describes <b>one</b> thing &amp; another, at such length that it is worth a document of its own. " * 2 + "</p>"
)


def test_tags_and_entities_leave_no_trace() -> None:
    text = '<p>Read <a href="x">this</a>:</p><ul><li>a &lt; b</li><li>c</li></ul>'
    assert reference.clean(text) == "Read this:\na < b\nc"


def test_aws_documents_describe_an_operation_with_its_parameters_and_repeat_nothing(tmp_path: Path) -> None:
    service = {
        "metadata": {"serviceFullName": "Amazon Example"},
        "operations": {
            "Get": {"documentation": LONG, "input": {"shape": "Request"}},
            "Put": {"documentation": LONG, "input": {"shape": "Request"}},
        },
        "shapes": {
            "Request": {"members": {"Name": {"shape": "String", "documentation": "<p>The name.</p>"}}},
            "String": {},
        },
    }
    model = gzip.compress(json.dumps(service).encode())
    old = gzip.compress(json.dumps(service | {"operations": {"Old": {"documentation": "old " * 99}}}).encode())
    names = [f"botocore/data/example/{version}/service-2.json.gz" for version in ("2011-01-01", "2020-01-01")]
    (document,) = reference.aws_documents(archive(tmp_path / "a.whl", {names[0]: old, names[1]: model}))
    assert document.startswith("Amazon Example: Get\n\nDescribes one thing & another")
    assert document.endswith("\n\nName: The name.")


def test_google_documents_prefer_the_stable_version(tmp_path: Path) -> None:
    def api(text: str) -> dict[str, Any]:
        schema = {"description": text, "properties": {"size": {"description": "How large it is.", "type": "string"}}}
        return {"title": "Example API", "schemas": {"Thing": schema}}

    folder = "googleapiclient/discovery_cache/documents"
    models = {f"{folder}/x.v1beta.json": api(LONG + "beta"), f"{folder}/x.v2.json": api(LONG)}
    stable, beta = reference.google_documents(archive(tmp_path / "g.whl", models))
    assert "size: How large it is." in stable
    assert "size" not in beta


def test_dictionary_pages_have_no_editors_marks(tmp_path: Path) -> None:
    definition = {"text": "A bird. \n[1913 Webster]", "examples": ["A wren sang."]}
    entry = {"entry": "wren", "pos": [{"part_of_speech": "n.", "etymology": "[OE.]", "definitions": [definition]}]}
    (page,) = reference.dictionary_pages(
        archive(tmp_path / "d.whl", {"dictionary/data/en/words_W.json": {"wren": entry}})
    )
    assert page == 'wren, n.\n1. A bird.\n"A wren sang."'


def test_python_modules_part_docstrings_from_source(tmp_path: Path) -> None:
    docstring = "Says what it does.\n" * 20
    source = f'# Licence\n\nimport os\n\ndef f():\n    """{docstring}"""\n    return os\n'
    files = {"p/a.py": source.encode(), "p/tests/b.py": b"x = 1\n", "p/c.py": b"not python at all ((("}
    (first, second) = reference.python_modules(archive(tmp_path / "p.whl", files))
    assert first == (docstring.strip(), "import os\n\ndef f():\n    return os\n")
    assert second == ("", "")


def test_more_than_half_of_the_slices_are_prose_and_all_are_pinned(tmp_path: Path) -> None:
    slices = reference.reference_slices(tmp_path)
    assert sum(part.prose for part in slices) > len(slices) / 2
    assert all(len(value) == 64 for part in slices for value in part.sources.values())
    assert not list(tmp_path.iterdir()), "naming a slice fetches nothing"


def test_a_file_with_the_right_hash_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.whl").write_bytes(b"content")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched"))
    pin = Pin("x==1", "x.whl", hashlib.sha256(b"content").hexdigest())
    assert fetch(pin, tmp_path) == tmp_path / "x.whl"


def test_what_pip_cannot_bring_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: a\nERROR: no such file\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match=r"x==1 cannot be downloaded by pip \(ERROR: no such file\)"):
        fetch(Pin("x==1", "x-1-py3-none-any.whl", "0" * 64), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".x-1-py3-none-any.whl.lock"]
