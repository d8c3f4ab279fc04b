"""`moe-lib data` and `moe-lib eval` from text to table."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus, prepare
from moe_lib.data.corpus import manifest_path
from moe_lib.data.recipes import recipe_name
from moe_lib.evaluation import evaluate
from moe_lib.model import build_model
from moe_lib.training import save_run


@pytest.fixture(scope="module")
def trained(small_corpus: TokenCorpus, data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `moe-lib train` leaves after a second of training, its row in `runs.jsonl` beside it."""
    folder = tmp_path_factory.mktemp("trained")
    model = {"d_model": 16, "n_layers": 1, "n_heads": 2, "sparsity": 0.75, "vocab_size": 300, "context_length": 128}
    training = {"flops": 2e8, "batch_size": 2, "learning_rate": 1e-2}
    run = {"corpus": str(data_root / "small"), "model": model, "training": training}
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    arguments = ["train", folder / "run.yaml", "--out", folder / "out", "--ledger", folder / "runs.jsonl"]
    command = [sys.executable, "-c", "from moe_lib.cli import main; main()", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "out"


def test_preparing_prints_the_mixture_and_the_digest(moe, small_corpus: TokenCorpus, data_root: Path) -> None:
    done = moe("data", "prepare", "--corpus", data_root / "small", "--vocab-size", 300)
    assert done.returncode == 0, done.stderr
    assert small_corpus.digest in done.stdout
    assert f"{len(small_corpus.train):,} training tokens" in done.stdout


def test_a_corpus_that_is_not_there_is_one_sentence(moe) -> None:
    done = moe("data", "prepare", "--corpus", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("moe-lib: corpus = 'nowhere' has to be embedded, reference, reference-2, redpajama, ")
    assert len(done.stderr.splitlines()) == 1


def test_a_trained_model_beats_an_untrained_one_and_the_row_has_its_probes(moe, trained: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    row = {"query": "Ada counts 7 tokens. " * 40 + "Ada counts 7", "choices": ["tokens.", "Grace."], "gold": 0}
    (tasks / "own.jsonl").write_text(json.dumps(row) + "\n")
    done = moe("eval", trained, "--tasks", tasks, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["trained"]["loss"] < report["untrained"]["loss"] - 0.5
    assert report["trained"]["tasks"]["own"]["n_truncated"] == 1
    assert report["notes"] == ["own: 1 of 1 contexts are longer than 128 tokens and lost their beginning"]
    recorded = json.loads((trained.parent / "runs.jsonl").read_text())
    assert recorded["probes"] == report["trained"]["probes"]
    assert recorded["loss"] == report["trained"]["loss"]


def test_the_table_names_every_probe(moe, trained: Path) -> None:
    done = moe("eval", trained)
    assert done.returncode == 0, done.stderr
    for name in ("open book: town", "two hop: all", "repeated passages: second", "minimal pairs: agreement"):
        assert name in done.stdout


def test_a_corpus_of_other_tokens_is_refused_though_its_vocabulary_is_as_large(
    moe_here, trained: Path, data_root: Path
) -> None:
    other = data_root / "numbers"
    other.mkdir()
    for number in range(60):
        (other / f"{number}.txt").write_text(" ".join(f"{number * 71 + step}" for step in range(300)))
    prepare(str(other), vocab_size=300)
    refused = moe_here("eval", trained, "--corpus", other)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"has another tokenizer than the one {trained} was trained with" in refused.stderr


def test_the_untrained_model_starts_as_the_trained_one_did(
    moe_here, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    run = small_run.with_(training=small_run.training.with_(expert_spread=0.01))
    start = build_model(run.model, run.training.seed, expert_spread=0.01).eval()
    save_run(tmp_path / "out", run, start, small_corpus)
    report = json.loads(moe_here("eval", tmp_path / "out", "--json").stdout)
    assert report["untrained"]["loss"] == report["trained"]["loss"]
    other = build_model(run.model, run.training.seed).eval()
    assert report["untrained"]["loss"] != evaluate(other, small_corpus, None)["loss"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["nowhere"], "has no trained run"), (["OUT", "--tasks", "none"], "tasks = 'none' has to be a folder")],
)
def test_wrong_input_ends_with_two_and_one_sentence(moe, trained: Path, arguments: list[str], sentence: str) -> None:
    done = moe("eval", *(str(trained) if word == "OUT" else word for word in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_corpus_that_was_changed_after_training_is_refused(
    moe_here, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    """Although the tokenizer is the same; another corpus that the user names may have any text."""
    out = tmp_path / "out"
    save_run(out, small_run, build_model(small_run.model, seed=0), small_corpus)
    digests = json.loads((out / "digests.json").read_text())
    (out / "digests.json").write_text(json.dumps(digests | {"corpus": "0" * 64}))
    link = tmp_path / "link"
    link.symlink_to(small_run.corpus)
    for named in ([], ["--corpus", small_run.corpus], ["--corpus", link]):
        refused = moe_here("eval", out, *named)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert f"was changed after {out} was trained on it" in refused.stderr
    other = manifest_path(recipe_name(str(tmp_path)), small_run.model.vocab_size)
    shutil.copy(manifest_path(recipe_name(small_run.corpus), small_run.model.vocab_size), other)
    assert moe_here("eval", out, "--corpus", tmp_path, "--json").returncode == 0
