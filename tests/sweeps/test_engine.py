"""The engine: whatever is killed, every run ends with exactly one row, the same as undisturbed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.evaluation import evaluate
from moe_lib.ledger import Ledger
from moe_lib.sweeps import Event, run_sweep
from moe_lib.training import execute, load_run, own_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(small_run: RunConfig, small_corpus: TokenCorpus) -> list[RunConfig]:
    return [small_run.with_(training=small_run.training.with_(seed=seed, flops=1e9)) for seed in range(2)]


@pytest.fixture(scope="module")
def undisturbed(runs: list[RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The ledger of the same runs when nothing is killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ledger = Ledger(folder / "runs.jsonl")
    assert run_sweep(runs, ledger, folder / "work") == []
    return ledger


def losses(ledger: Ledger) -> dict[str, float]:
    rows = ledger.rows()
    found = {row["key"]: row["loss"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_killed_worker_is_started_again(runs: list[RunConfig], undisturbed: Ledger, tmp_path: Path) -> None:
    ledger, kinds, killed = Ledger(tmp_path / "runs.jsonl"), [], []

    def kill_once(event: Event) -> None:
        kinds.append(event.kind)
        if event.kind == "step" and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    assert run_sweep(runs, ledger, tmp_path / "work", on_event=kill_once) == []
    assert kinds.count("died") == 1
    assert losses(ledger) == losses(undisturbed)
    assert not list((tmp_path / "work").iterdir())


def start_sweep(runs: list[RunConfig], folder: Path) -> "subprocess.Popen[bytes]":
    """`moe-lib sweep` in a process of its own, over the seeds of `runs`."""
    file = folder / "sweep.yaml"
    grid = {"training.seed": [run.training.seed for run in runs]}
    file.write_text(yaml.safe_dump({"base": json.loads(runs[0].model_dump_json()), "grid": grid}))
    program = "from moe_lib.cli import main; main()"
    options = ["--ledger", folder / "runs.jsonl", "--work", folder / "work"]
    return subprocess.Popen(
        [sys.executable, "-c", program, "sweep", file, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_a_killed_sweep_resumes_when_restarted(runs: list[RunConfig], undisturbed: Ledger, tmp_path: Path) -> None:
    for _ in range(2):
        sweep = start_sweep(runs, tmp_path)
        while not list(tmp_path.glob("work/*")):
            assert sweep.poll() is None, sweep.stdout.read().decode()
            time.sleep(0.05)
        time.sleep(0.5)
        sweep.kill()
        sweep.wait()
    last = start_sweep(runs, tmp_path)
    output = last.communicate(timeout=300)[0].decode()
    assert last.returncode == 0, output
    assert losses(Ledger(tmp_path / "runs.jsonl")) == losses(undisturbed)
    assert not list((tmp_path / "work").iterdir())


def test_runs_that_are_in_the_ledger_are_skipped(runs: list[RunConfig], undisturbed: Ledger, tmp_path: Path) -> None:
    started: list[str] = []
    run_sweep(runs, undisturbed, tmp_path / "work", on_event=lambda event: started.append(event.kind))
    assert started == []


def test_a_run_that_cannot_be_is_named(small_run: RunConfig, tmp_path: Path) -> None:
    nowhere = small_run.with_(corpus=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        run_sweep([nowhere], Ledger(tmp_path / "runs.jsonl"), tmp_path / "work")


def test_a_corpus_that_is_changed_during_a_sweep_ends_it(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    ledger, work = Ledger(tmp_path / "runs.jsonl"), tmp_path / "work"
    with pytest.raises(
        InputError, match=f"was changed after the sweep began .digest 0+, now {small_corpus.digest:.12}"
    ):
        run_sweep([small_run], ledger, work, digests={small_run.key: "0" * 64})
    assert not ledger.path.exists()
    assert not list(work.iterdir())


def test_a_sweep_leaves_the_weights_of_a_run_that_another_command_trains(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    ledger, folder = Ledger(tmp_path / "runs.jsonl"), tmp_path / "work" / small_run.key
    with own_folder(folder, small_run):
        execute(small_run, small_corpus, evaluate, folder)
    assert run_sweep([small_run], ledger, tmp_path / "work", digests={small_run.key: small_corpus.digest}) == []
    assert [row["key"] for row in ledger.rows()] == [small_run.key]
    assert load_run(folder)[0] == small_run


@pytest.mark.parametrize("n_workers", [0, -1])
def test_fewer_workers_than_one_are_refused(n_workers: int, small_run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"workers = {n_workers} has to be at least 1"):
        run_sweep([small_run], Ledger(tmp_path / "runs.jsonl"), tmp_path / "work", n_workers=n_workers)


def test_a_run_that_diverges_leaves_its_row_and_the_sweep_continues(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    wild = small_run.with_(training=small_run.training.with_(learning_rate=1e2, warmup_fraction=0.0))
    ledger = Ledger(tmp_path / "runs.jsonl")
    assert run_sweep([wild, small_run], ledger, tmp_path / "work", n_workers=1) == []
    assert [(row["key"], row["status"]) for row in ledger.rows()] == [(wild.key, "diverged"), (small_run.key, "done")]
