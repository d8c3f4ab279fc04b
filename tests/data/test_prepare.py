"""A corpus is built whole, verified if it exists, and refused if it does not match."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moe_lib.data import TokenCorpus, build, open_corpus, prepare, slices
from moe_lib.data.corpus import data_root
from moe_lib.data.downloads import Pin, fetch
from moe_lib.data.recipes import Recipe
from moe_lib.data.slices import path_slices
from moe_lib.errors import InputError


def texts(folder: Path, count: int = 60) -> Path:
    folder.mkdir()
    for number in range(count):
        words = " ".join(f"word{number * 7 + step} follows word{number * 3 + step}" for step in range(20))
        (folder / f"{number:03}.txt").write_text(words)
    return folder


def documents_of(corpus: TokenCorpus, tokens: np.ndarray) -> list[str]:
    ends = np.flatnonzero(tokens == corpus.end_of_text)
    starts = [0, *(ends[:-1] + 1)]
    return [corpus.tokenizer.decode(tokens[a:b].tolist()) for a, b in zip(starts, ends, strict=True)]


def test_every_document_is_read_back_on_exactly_one_side(tmp_path: Path) -> None:
    corpus = prepare(str(texts(tmp_path / "text")), 300, tmp_path)
    train, heldout = documents_of(corpus, corpus.train), documents_of(corpus, corpus.heldout)
    original = {file.read_text() for file in (tmp_path / "text").iterdir()}
    assert set(train) | set(heldout) == original
    assert len(train) + len(heldout) == len(original)
    assert heldout


def test_heldout_table_bounds_documents_and_counts_their_bytes(tmp_path: Path) -> None:
    corpus = prepare(str(texts(tmp_path / "text")), 300, tmp_path)
    table = corpus.heldout_documents
    for row, text in zip(table.itertuples(), documents_of(corpus, corpus.heldout), strict=True):
        assert corpus.tokenizer.decode(corpus.heldout[row.start : row.stop - 1].tolist()) == text
        assert corpus.heldout[row.stop - 1] == corpus.end_of_text
        assert row.n_bytes == len(text.encode())


@pytest.mark.parametrize(("one_in", "least", "most"), [(2, 20, 40), (32, 1, 8)])
def test_a_recipe_says_how_many_documents_are_held_out(tmp_path: Path, one_in: int, least: int, most: int) -> None:
    recipe = Recipe("text", path_slices(texts(tmp_path / "text")), heldout_one_in=one_in)
    build.build(recipe, 300, tmp_path, say=lambda line: None)
    n_rows = len((tmp_path / "heldout.csv").read_text().splitlines()) - 1
    assert least <= n_rows <= most


def test_two_builds_have_one_digest(tmp_path: Path) -> None:
    folder = str(texts(tmp_path / "text"))
    assert prepare(folder, 300, tmp_path / "a").digest == prepare(folder, 300, tmp_path / "b").digest


def test_an_existing_corpus_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(texts(tmp_path / "text"))
    first = prepare(folder, 300, tmp_path)
    monkeypatch.setattr(build, "train_tokenizer", lambda *_: pytest.fail("built again"))
    assert prepare(folder, 300, tmp_path).digest == first.digest == open_corpus(folder, 300, tmp_path).digest


def test_changed_text_is_built_anew_and_the_old_tokens_go(tmp_path: Path) -> None:
    folder = texts(tmp_path / "text")
    old = prepare(str(folder), 300, tmp_path)
    (folder / "000.txt").write_text("something else entirely")
    new = prepare(str(folder), 300, tmp_path)
    assert new.digest != old.digest
    assert not old.root.exists()


def test_a_corpus_built_anew_leaves_one_whose_name_begins_with_its_own(tmp_path: Path) -> None:
    ours = texts(tmp_path / "text")
    old = prepare(str(ours), 300, tmp_path)
    other = str(texts(tmp_path / f"{old.name}-300"))
    existing = prepare(other, 300, tmp_path)
    (ours / "000.txt").write_text("something else entirely")
    prepare(str(ours), 300, tmp_path)
    assert not old.root.exists()
    assert open_corpus(other, 300, tmp_path).digest == existing.digest


def test_an_interrupted_build_leaves_the_old_corpus_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = texts(tmp_path / "text")
    old = prepare(str(folder), 300, tmp_path)
    (folder / "000.txt").write_text("something else entirely")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_write_tokens", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(str(folder), 300, tmp_path)
    assert open_corpus(str(folder), 300, tmp_path).digest == old.digest
    assert not list((tmp_path / "corpora").glob(".building-*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from moe_lib.data import build, prepare
build._write_tokens = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
prepare(sys.argv[1], 300, Path(sys.argv[2]))
"""


def test_a_killed_build_leaves_the_old_corpus_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    folder = texts(tmp_path / "text")
    old = prepare(str(folder), 300, tmp_path)
    (folder / "000.txt").write_text("something else entirely")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert open_corpus(str(folder), 300, tmp_path).digest == old.digest
    assert prepare(str(folder), 300, tmp_path).digest != old.digest
    assert not list((tmp_path / "corpora").glob(".building-*"))


def test_duplicates_and_near_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = texts(tmp_path / "text")
    original = (folder / "000.txt").read_text()
    (folder / "900.txt").write_text(original)
    (folder / "901.txt").write_text(original + " and")
    (part,) = prepare(str(folder), 300, tmp_path).manifest.slices
    assert (part.n_documents, part.n_duplicates) == (60, 2)


@pytest.mark.parametrize("name", ["train.bin", "heldout.bin", "heldout.csv", "tokenizer.json"])
def test_one_changed_byte_is_noticed(tmp_path: Path, name: str) -> None:
    folder = str(texts(tmp_path / "text"))
    file = prepare(folder, 300, tmp_path).root / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"does not match its tokens .{name}"):
        open_corpus(folder, 300, tmp_path)
    assert open_corpus(folder, 300, prepare(folder, 300, tmp_path).root.parents[1])


@pytest.mark.parametrize(
    ("corpus", "vocab_size", "sentence"),
    [
        ("nowhere", 300, "corpus = 'nowhere' has to be"),
        ("empty", 300, "has 0 documents"),
        ("text", 256, r"vocab_size = 256 has to be in \[257, 65535\]"),
        ("text", 65_536, "vocab_size = 65536"),
        ("broken.jsonl", 300, "line 2 has no field text"),
        ("binary.txt", 300, "has to be text in UTF-8"),
        ("latin.jsonl", 300, "line 2 has to be JSON of whole characters in UTF-8"),
        ("half.jsonl", 300, "line 1 has to be JSON of whole characters in UTF-8"),
    ],
)
def test_wrong_input_gets_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str, vocab_size: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    texts(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/blank.txt").write_text(" \n")
    (tmp_path / "broken.jsonl").write_text('{"text": "fine"}\n{"txt": "not"}\n')
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "fine"}\n{"text": "caf\xe9"}\n')
    (tmp_path / "half.jsonl").write_text('{"text": "half \\ud800"}\n')
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=sentence):
        prepare(corpus, vocab_size, tmp_path / "root")
    assert not [path for path in (tmp_path / "root").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_corpus_that_is_not_prepared_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run: moe-lib data prepare --corpus reference --vocab-size 512"):
        open_corpus("reference", 512, tmp_path)


def test_jsonl_rows_are_documents(tmp_path: Path) -> None:
    rows = [{"text": f"row {number} is about {number * 11}", "meta": "{}"} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (part,) = prepare(str(tmp_path / "rows.jsonl"), 300, tmp_path).manifest.slices
    assert part.n_documents == 40


def test_a_literal_end_of_text_stays_text(tmp_path: Path) -> None:
    folder = texts(tmp_path / "text")
    text = "before <|endoftext|> after, and once more <|endoftext|>"
    for path in folder.iterdir():
        path.write_text(path.read_text() + text)
    corpus = prepare(str(folder), 300, tmp_path)
    n_ends = sum(int((tokens == corpus.end_of_text).sum()) for tokens in (corpus.train, corpus.heldout))
    assert n_ends == 60
    assert corpus.end_of_text not in corpus.tokenizer.encode(text).ids


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = texts(tmp_path / "text")
    (tmp_path / "secret.txt").write_text("not meant")
    (folder / "link.txt").symlink_to("../secret.txt")
    with pytest.raises(InputError, match=r"has a link out of it, .*link\.txt"):
        prepare(str(folder), 300, tmp_path)
    (folder / "link.txt").unlink()
    (folder / "within.txt").symlink_to("000.txt")
    (folder / "loop").symlink_to("loop")
    (part,) = prepare(str(folder), 300, tmp_path).manifest.slices
    assert (part.n_documents, part.n_duplicates) == (60, 1)


def test_a_folder_within_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scan = texts(tmp_path / "text"), os.scandir
    texts(folder / "closed")

    def refusing(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="closed"):
        prepare(str(folder), 300, tmp_path)


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer's library has no such error; here the disk is full from the first byte of the corpus."""
    folder, write = texts(tmp_path / "text"), Path.write_text

    def full(path: Path, *arguments: object, **options: object) -> int:
        if path.name == "tokenizer.json":
            raise OSError(28, "No space left on device", str(path))
        return write(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left on device"):
        prepare(str(folder), 300, tmp_path)
    assert not [path for path in (tmp_path / "corpora").iterdir() if not path.name.endswith(".lock")]


def test_a_tilde_that_no_shell_expanded_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pandas expands it where the system does not: one half of a corpus would be elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MOE_LIB_DATA", "~/data")
    assert data_root() == tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOE_LIB_DATA", "data")
    assert data_root() == tmp_path / "data"


@pytest.mark.parametrize("name", ["text", "text.txt", "text.jsonl"])
def test_a_pipe_is_not_a_corpus(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="has to be a regular file"):
        prepare(str(tmp_path / name), 300, tmp_path)


def test_a_link_to_itself_is_not_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="or an existing file or folder of text"):
        prepare(str(tmp_path / "loop"), 300, tmp_path)


def test_a_name_that_is_not_utf_8_is_a_name(tmp_path: Path) -> None:
    folder = texts(tmp_path / os.fsdecode(b"text \xff"))
    (folder / os.fsdecode(b"\xfe.txt")).write_text("one more, of another name")
    (part,) = prepare(str(folder), 300, tmp_path).manifest.slices
    assert part.n_documents == 61
    assert part.name == "text \\udcff"
    assert open_corpus(str(folder), 300, tmp_path)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "LONGEST_LINE", 100)
    (tmp_path / "long.jsonl").write_text('{"text": "fine"}\n' + json.dumps({"text": "long" * 50}))
    with pytest.raises(InputError, match=r"long\.jsonl: line 2 is longer than"):
        prepare(str(tmp_path / "long.jsonl"), 300, tmp_path)


def test_what_a_killed_download_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = Pin("a==1", "a-1-py3-none-any.whl", hashlib.sha256(b"content").hexdigest())
    left = tmp_path / ".building-a-1-py3-none-any.whl"
    left.mkdir()
    (left / "half").write_text("")

    def download(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        assert [path.name for path in left.iterdir()] == ["requirements.txt"]
        (left / pin.file).write_bytes(b"content")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    assert fetch(pin, tmp_path).read_bytes() == b"content"
    assert not left.exists()
