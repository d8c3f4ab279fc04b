"""Given any bytes, a reader returns or rejects them in a sentence: nothing else is raised, nothing hangs.

`make test` tries the same few files each time; `make soak` tries many, and others each time (MOE_LIB_FUZZ of each).
"""

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.data.corpus import read_corpus
from moe_lib.data.slices import path_slices
from moe_lib.errors import InputError, Notice, sentence
from moe_lib.evaluation.tasks import read_task
from moe_lib.fitting import Request, fit_table, form_named
from moe_lib.lab import Lab
from moe_lib.ledger import Ledger
from moe_lib.saved_fit import load_fit, save_fit
from moe_lib.sweeps import read_sweep
from moe_lib.table_files import read_table
from moe_lib.tables import runs_for
from moe_lib.training import checkpoint, load_run, train
from moe_lib.training.folder import load_tokenizer, save_run

EXAMPLES = int(os.environ.get("MOE_LIB_FUZZ", "0"))
fuzzed = settings(
    max_examples=EXAMPLES or 12,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# Pieces on which readers have failed; a mutation puts one of them somewhere.
PIECES = (
    *(b"", b"\0", b"\xff", b"\n", b"\r", b"\n\n", b"{", b"}", b"[", b"]", b'"', b",", b":", b" ", b"&a ", b"*a", b"!!"),
    *(
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"1e999",
        b"-1",
        b"0",
        b"1e-999",
        b"9" * 400,
        b'"\\ud800"',
        b"\xef\xbb\xbf",
    ),
    *(b"<<: ", b"? ", b"- ", b"---\n", b"!!int x", b"!!timestamp x", b"!!bool x", b"[" * 3000, b'{"a":' * 3000),
    *(b'"key"', b"config", b"model", b"training", b"2**31", b"\xed\xa0\x80", b"a" * 70_000, b"\x1f\x8b\x08", b"PAR1"),
)
EDIT = st.tuples(st.sampled_from(["put", "cut", "flip", "double"]), st.floats(0, 1), st.integers(0, 255))


def mutated(valid: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    """Some bytes with edits at shares of their length; the last number says which piece, bit or length."""
    content = bytearray(valid)
    for kind, share, number in edits:
        at = int(share * len(content))
        if kind == "put":
            content[at:at] = PIECES[number % len(PIECES)]
        elif kind == "cut":
            del content[at : at + number**2]
        elif kind == "flip" and at < len(content):
            content[at] ^= 1 << number % 8
        elif kind == "double":
            content[at:at] = content[at : at + number]
    return bytes(content)


RUN = """model: {d_model: 16, n_layers: 1, n_heads: 2, sparsity: 0.75, vocab_size: 300, context_length: 128}
training: {flops: 3.0e+8, batch_size: 2, learning_rate: 0.01}
corpus: embedded
"""
SWEEP = f"""base:
  model: &model {{n_heads: 2, vocab_size: 300}}
  training: {{flops: 3.0e+8, batch_size: 2}}
grid:
  model: [{{d_model: 16, n_layers: 1}}, {{<<: *model, d_model: 32, n_layers: 2}}]
  training.seed: [0, 1]
blocks:
  - name: one
    base: {{training: {{seed: 3}}}}
    grid: {{model.sparsity: [0, 0.5], training.learning_rate: [1.0e-3, 0.1]}}
# {RUN.splitlines()[0]}
"""
RUNS = pd.DataFrame({"N": [1e6, 2e6, 4e6, 1e7], "D": [2e7, 5e7, 1e8, 3e8], "L": [4.0, 3.5, 3.25, 3.0]})


def read_runs(path: Path) -> object:
    return runs_for(read_table(path), ("N", "D"))


def read_texts(path: Path) -> object:
    return [list(part.read()) for part in path_slices(path)]


def read_ledger(path: Path) -> object:
    """Rows, and another one appended: what was there is still there, whole or beside."""
    before = path.read_bytes()
    beside = path.with_name(path.name + ".cut")
    rows = Ledger(path).rows()
    Ledger(path).append(ROW)
    after = path.read_bytes() + (beside.read_bytes() if beside.exists() else b"")
    assert all(line in after for line in before.split(b"\n"))
    assert len(Ledger(path).rows()) >= len(rows)
    return rows


def read_fit(path: Path) -> object:
    return load_fit(path).law.loss(N=1e8, D=1e9)


def read_lab(path: Path) -> object:
    return Lab("ada", 1e20, path).spent


ROW: dict[str, Any] = {}
LAB = {"student": "ada", "flops": 1e20, "queries": [[1e8, 0.5, 1e9, 1e-3]], "real": [["key", 1e12]], "bet": None}
TASK = "".join(
    json.dumps({"query": f"{n} plus one", "choices": [str(n), str(n + 1)], "gold": 1}) + "\n" for n in range(4)
)


@pytest.fixture(scope="module")
def trained(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a checkpoint, weights and tokenizer, and a manifest beside its corpus."""
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    found = train(small_run, small_corpus, folder)
    save_run(folder, small_run, found.model, small_corpus)
    return folder


@pytest.fixture(scope="module")
def corpora(small_corpus: TokenCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the corpora's folder."""
    return shutil.copytree(small_corpus.root.parent, tmp_path_factory.mktemp("fuzz") / "corpora")


def try_reader(read: Callable[[Path], object], path: Path, content: bytes) -> None:
    """Read a file of some content; only a sentence may be raised."""
    if path.is_symlink() or path.exists():
        path.unlink()
    for leftover in path.parent.glob(f"*{path.name}.*"):  # a ledger's index, and what was cut off
        leftover.unlink()
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("ignore", Notice)
        try:
            read(path)
        except (InputError, OSError) as error:
            said = sentence(error)
            assert said.isprintable()
            assert 0 < len(said) < 1200


FILES: dict[str, tuple[Callable[[Path], object], Callable[[Path], bytes]]] = {
    "run.yaml": (RunConfig.from_yaml, lambda _: RUN.encode()),
    "sweep.yaml": (read_sweep, lambda _: SWEEP.encode()),
    "runs.csv": (read_runs, lambda _: RUNS.to_csv(index=False).encode()),
    "runs.jsonl": (read_runs, lambda _: RUNS.to_json(orient="records", lines=True).encode()),
    "runs.parquet": (read_runs, lambda _: RUNS.to_parquet()),
    "ledger.jsonl": (read_ledger, lambda folder: (folder / "ledger").read_bytes()),
    "task.jsonl": (read_task, lambda _: TASK.encode()),
    "texts.jsonl": (read_texts, lambda _: b'{"text": "one"}\n{"text": "two", "meta": {"n": 1}}\n'),
    "fit.json": (read_fit, lambda folder: (folder / "saved").read_bytes()),
    "lab.json": (read_lab, lambda _: json.dumps(LAB).encode()),
    "texts.txt": (read_texts, lambda _: "first\n\nsecond \u00e9\n".encode()),
}


@pytest.fixture(scope="module")
def folder(make_row: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a valid ledger of three rows, and a saved fit."""
    folder = tmp_path_factory.mktemp("fuzz")
    for seed in range(3):
        Ledger(folder / "ledger").append(make_row(seed, curve={"step": [1, 2], "loss": [6.9, 6.5]}))
    ROW.update(make_row(9))
    runs = pd.DataFrame([(n, d) for n in (1e6, 1e7, 1e8) for d in (1e8, 1e9, 1e10)], columns=["N", "D"])
    table = runs.assign(L=1.7 + 400 / runs["N"] ** 0.34 + 400 / runs["D"] ** 0.28)
    save_fit(fit_table(table, Request(form=form_named("chinchilla", None, {}), polishes=2)), {}, folder / "saved")
    return folder


@pytest.mark.parametrize("name", FILES)
@fuzzed
@given(edits=st.lists(EDIT, max_size=6))
def test_any_file(name: str, edits: list[tuple[str, float, int]], folder: Path) -> None:
    read, valid = FILES[name]
    try_reader(read, folder / name, mutated(valid(folder), edits))


@pytest.mark.parametrize("name", ["run.yaml", "sweep.yaml", "runs.csv", "runs.jsonl", "ledger.jsonl", "task.jsonl"])
@fuzzed
@given(parts=st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_pieces(name: str, parts: list[bytes], folder: Path) -> None:
    try_reader(FILES[name][0], folder / name, b"".join(parts))


@pytest.mark.parametrize("name", ["run.json", "model.safetensors", "tokenizer.json"])
@fuzzed
@given(edits=st.lists(EDIT, min_size=1, max_size=4))
def test_any_file_of_a_run(name: str, edits: list[tuple[str, float, int]], trained: Path) -> None:
    valid = (trained / name).read_bytes()
    read = load_tokenizer if name == "tokenizer.json" else load_run
    try:
        try_reader(lambda _: read(trained), trained / name, mutated(valid, edits))
    finally:
        (trained / name).write_bytes(valid)


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@fuzzed
@given(edits=st.lists(EDIT, min_size=1, max_size=3))
def test_any_checkpoint(suffix: str, edits: list[tuple[str, float, int]], trained: Path) -> None:
    """A run resumes from what was saved, or from nothing."""
    path = max(trained.glob(f"step-*.{suffix}"))
    valid = path.read_bytes()
    owner = json.loads(path.with_suffix(".json").read_text())["key"]
    saved = checkpoint.load_newest(trained, owner)
    assert saved is not None

    def read(_: Path) -> None:
        found = checkpoint.load_newest(trained, owner)
        assert found is None or (found.step, found.seconds) == (saved.step, saved.seconds)
        assert found is None or (found.tensors["losses"] == saved.tensors["losses"]).all()

    try:
        try_reader(read, path, mutated(valid, edits))
    finally:
        path.write_bytes(valid)


@fuzzed
@given(edits=st.lists(EDIT, min_size=1, max_size=4))
def test_any_manifest(edits: list[tuple[str, float, int]], corpora: Path) -> None:
    path = min(corpora.glob("*.json"))
    valid = path.read_bytes()
    try:
        try_reader(read_corpus, path, mutated(valid, edits))
    finally:
        path.write_bytes(valid)
