"""`moe-lib data` and `moe-lib eval` from text to table."""

import json
from pathlib import Path

import pytest
import yaml

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus


@pytest.fixture
def trained(moe, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(json.loads(small_run.model_dump_json())))
    done = moe("train", tmp_path / "run.yaml", "--out", tmp_path / "out", "--ledger", tmp_path / "runs.jsonl")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_preparing_prints_the_mixture_and_the_digest(moe, small_corpus: TokenCorpus, data_root: Path) -> None:
    done = moe("data", "prepare", "--corpus", data_root / "small", "--vocab-size", 300)
    assert done.returncode == 0, done.stderr
    assert small_corpus.digest in done.stdout
    assert f"{len(small_corpus.train):,} training tokens" in done.stdout


def test_a_corpus_that_is_not_there_is_one_sentence(moe) -> None:
    done = moe("data", "prepare", "--corpus", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("moe-lib: corpus = 'nowhere' has to be embedded, reference, redpajama, or a file")
    assert len(done.stderr.splitlines()) == 1


def test_a_trained_model_beats_an_untrained_one_and_the_row_has_its_probes(moe, trained: Path) -> None:
    limit = json.loads((trained / "model.json").read_text())["context_length"]
    tasks = trained.parent / "tasks"
    tasks.mkdir()
    row = {"query": "Ada counts 7 tokens. " * 40 + "Ada counts 7", "choices": ["tokens.", "Grace."], "gold": 0}
    (tasks / "own.jsonl").write_text(json.dumps(row) + "\n")
    done = moe("eval", trained, "--tasks", tasks, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["trained"]["loss"] < report["untrained"]["loss"] - 0.5
    assert report["trained"]["tasks"]["own"]["n_truncated"] == 1
    assert report["notes"] == [f"own: 1 of 1 contexts are longer than {limit} tokens and lost their beginning"]
    recorded = json.loads((trained.parent / "runs.jsonl").read_text())
    assert recorded["probes"] == report["trained"]["probes"]
    assert recorded["loss"] == report["trained"]["loss"]


def test_the_table_names_every_probe(moe, trained: Path) -> None:
    done = moe("eval", trained)
    assert done.returncode == 0, done.stderr
    for name in ("open book: town", "two hop: all", "repeated passages: second", "minimal pairs: agreement"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["nowhere"], "holds no model.safetensors"), (["OUT", "--tasks", "none"], "tasks = 'none' has to be a folder")],
)
def test_wrong_input_ends_with_two_and_one_sentence(moe, trained: Path, arguments: list[str], sentence: str) -> None:
    done = moe("eval", *(str(trained) if word == "OUT" else word for word in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
