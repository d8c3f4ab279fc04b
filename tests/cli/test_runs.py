"""`moe-lib train` and `moe-lib sweep` from file to ledger."""

import json
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file
from typer.testing import CliRunner

from moe_lib.cli.app import app
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger


@pytest.fixture
def run_file(small_run: RunConfig, tmp_path: Path) -> Path:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(json.loads(small_run.model_dump_json())))
    return file


def test_training_leaves_weights_tokenizer_and_one_row(
    moe, run_file: Path, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    ledger, out = tmp_path / "runs.jsonl", tmp_path / "out"
    for _ in range(2):
        done = moe("train", run_file, "--out", out, "--ledger", ledger)
        assert done.returncode == 0, done.stderr
        assert " 0 %" not in done.stdout
    rows = Ledger(ledger).rows()
    assert [row["key"] for row in rows] == [small_run.key]
    assert rows[0]["corpus_digest"] == small_corpus.digest
    assert {"loss", "loss_standard_error", "bits_per_byte", "slices", "tokens_per_second", "versions"} <= set(rows[0])
    weights = load_file(out / "model.safetensors")
    assert sum(weight.size for weight in weights.values()) == rows[0]["n_params"]
    assert (out / "tokenizer.json").exists()
    exported = moe("export", out, tmp_path / "hf", "--ledger", ledger)
    assert exported.returncode == 0, exported.stderr
    assert f"Held-out loss {rows[0]['loss']:.4f} ±" in (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def done(make_row, small_run: RunConfig, tmp_path: Path) -> Ledger:
    """A ledger that has the small run, done on another text of its corpus."""
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.append(make_row(small_run, corpus_digest="0" * 64))
    return ledger


def test_a_run_that_is_done_on_another_text_is_named_before_anything_is_trained(
    moe_here, run_file: Path, small_run: RunConfig, small_corpus: TokenCorpus, done: Ledger, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep.yaml"
    base = yaml.safe_load(run_file.read_text())
    sweep.write_text(yaml.safe_dump({"base": base, "grid": {"training.seed": [0, 1]}}))
    out, work = tmp_path / "out", tmp_path / "work"
    for command in (["train", run_file, "--out", out], ["sweep", sweep, "--work", work], ["sweep", sweep, "--dry-run"]):
        refused = moe_here(*command, "--ledger", done.path)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert f"{done.path}: has run {small_run.key} on another text of corpus" in refused.stderr
        assert f"now {small_corpus.digest:.12}" in refused.stderr
    assert "2 runs, 1 done" in refused.stdout  # the plan is printed all the same
    assert not out.exists()
    assert not work.exists()
    assert len(done.rows()) == 1


@pytest.mark.parametrize("digest", ["the same", None])
def test_a_sweep_of_runs_that_are_done_trains_nothing_and_shows_no_bar(
    digest: str | None, moe_here, make_row, run_file: Path, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path
) -> None:
    """Rows of early versions have no digest."""
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.append(make_row(small_run, **{"corpus_digest": small_corpus.digest} if digest else {}))
    run_file.write_text(yaml.safe_dump({"base": yaml.safe_load(run_file.read_text())}))
    said = moe_here("sweep", run_file, "--ledger", ledger.path, "--work", tmp_path / "work")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.replace("\n", "") == f"1 runs, 1 of them in {ledger.path}"
    assert len(ledger.rows()) == 1


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_says_which_ledger_an_installed_package_uses(command: str) -> None:
    printed = CliRunner(env={"COLUMNS": "500"}).invoke(app, [command, "--help"]).output
    assert "outside a checkout, runs.jsonl in the current folder" in printed


def test_a_dry_run_prints_the_plan_and_trains_nothing(moe, small_run: RunConfig, tmp_path: Path) -> None:
    file, ledger = tmp_path / "sweep.yaml", tmp_path / "runs.jsonl"
    base = json.loads(small_run.model_dump_json())
    file.write_text(yaml.safe_dump({"base": base, "grid": {"training.seed": [0, 1]}}))
    done = moe("sweep", file, "--dry-run", "--ledger", ledger)
    assert done.returncode == 0, done.stderr
    assert "2 runs, 0 done" in done.stdout
    assert not ledger.exists()


def test_the_plan_of_a_corpus_that_is_not_here_lacks_its_epochs_only(moe, run_file: Path, tmp_path: Path) -> None:
    away = yaml.safe_load(run_file.read_text()) | {"corpus": "elsewhere"}
    run_file.write_text(yaml.safe_dump({"base": away}))
    done = moe("sweep", run_file, "--dry-run", "--ledger", tmp_path / "runs.jsonl")
    assert done.returncode == 0, done.stderr
    assert "'elsewhere'" in done.stdout
    assert "1 runs, 0 done" in done.stdout
    assert moe("sweep", run_file, "--ledger", tmp_path / "runs.jsonl").returncode == 2


def test_every_vocabulary_of_a_sweep_is_there_before_anything_starts(
    moe_here, small_run: RunConfig, tmp_path: Path
) -> None:
    file, ledger = tmp_path / "sweep.yaml", tmp_path / "runs.jsonl"
    base = json.loads(small_run.model_dump_json())
    file.write_text(yaml.safe_dump({"base": base, "grid": {"model.vocab_size": [301, 300]}}))
    done = moe_here("sweep", file, "--ledger", ledger, "--work", tmp_path / "work")
    assert done.returncode == 2
    assert "vocab_size = 301 is not prepared" in done.stderr
    assert not (tmp_path / "work").exists()


def test_fewer_workers_than_one_are_refused(moe_here, run_file: Path, tmp_path: Path) -> None:
    for workers in (0, -1):
        done = moe_here("sweep", run_file, "--workers", workers, "--ledger", tmp_path / "runs.jsonl")
        assert done.returncode == 2
        assert "--workers" in done.stderr


def test_a_corpus_that_is_too_small_is_named_before_anything_starts(moe, run_file: Path, tmp_path: Path) -> None:
    greedy = yaml.safe_load(run_file.read_text())
    greedy["training"]["flops"] = 1e13
    run_file.write_text(yaml.safe_dump(greedy))
    done = moe("train", run_file, "--out", tmp_path / "out", "--ledger", tmp_path / "runs.jsonl")
    assert done.returncode == 2
    assert "training.flops = 1e+13 buys" in done.stderr
