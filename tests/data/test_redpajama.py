"""RedPajama's schema, streamed from a local file."""

import json
from pathlib import Path

import pytest

from moe_lib.data.redpajama import redpajama_slices, stream_texts
from moe_lib.errors import InputError

pytest.importorskip("datasets", reason="needs the extra redpajama")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def rows(path: Path, field: str = "text") -> str:
    fields = [{field: f"document {number}", "meta": '{"url": "x"}', "red_pajama_subset": "c4"} for number in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in fields))
    return str(path)


def test_the_first_documents_are_streamed(tmp_path: Path) -> None:
    (part,) = redpajama_slices(rows(tmp_path / "rows.jsonl"), n_documents=5)
    assert list(part.read()) == [f"document {number}" for number in range(5)]


def test_a_row_without_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 1 has no field text"):
        list(stream_texts(rows(tmp_path / "rows.jsonl", field="words"), 5))
