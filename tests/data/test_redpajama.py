"""RedPajama's schema, streamed from a local file."""

import json
from pathlib import Path

import pytest

from moe_lib.data.build import build, train_tokenizer
from moe_lib.data.recipes import Recipe
from moe_lib.data.redpajama import fetched, redpajama_slices, stream_texts
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


def test_a_network_that_is_not_there_is_one_sentence() -> None:
    with (
        pytest.raises(InputError, match=r"the sample cannot be downloaded \(TimeoutError: nobody answers\)"),
        fetched("the sample"),
    ):
        raise TimeoutError("nobody answers")


def test_the_papers_vocabulary_takes_a_ready_tokenizer_and_others_learn_one(tmp_path: Path) -> None:
    ready = train_tokenizer(["one two three " * 50], 300)
    slices = redpajama_slices(rows(tmp_path / "rows.jsonl"), n_documents=9)
    recipe = Recipe("redpajama", slices, pretrained={50_432: lambda: ready})
    for vocab_size, same in ((50_432, True), (300, False)):
        (tmp_path / str(vocab_size)).mkdir()
        build(recipe, vocab_size, tmp_path / str(vocab_size), say=lambda line: None)
        assert ((tmp_path / str(vocab_size) / "tokenizer.json").read_text() == ready.to_str(pretty=True)) == same
