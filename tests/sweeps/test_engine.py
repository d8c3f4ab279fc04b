"""The engine: whatever is killed, every run ends with exactly one row, the same as undisturbed."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.ledger import Ledger
from moe_lib.sweeps import Event, run_sweep

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(small_run: RunConfig, small_corpus: TokenCorpus) -> list[RunConfig]:
    return [small_run.with_(training=small_run.training.with_(seed=seed, flops=1e9)) for seed in range(3)]


@pytest.fixture
def expected(runs: list[RunConfig], tmp_path: Path) -> dict[str, float]:
    """Held-out losses of undisturbed runs."""
    ledger = Ledger(tmp_path / "undisturbed.jsonl")
    assert run_sweep(runs, ledger, tmp_path / "undisturbed") == []
    return {row["key"]: row["loss"] for row in ledger.rows()}


def losses(ledger: Ledger) -> dict[str, float]:
    rows = ledger.rows()
    found = {row["key"]: row["loss"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_a_killed_worker_is_started_again(runs: list[RunConfig], expected: dict[str, float], tmp_path: Path) -> None:
    ledger, kinds, killed = Ledger(tmp_path / "runs.jsonl"), [], []

    def kill_once(event: Event) -> None:
        kinds.append(event.kind)
        if event.kind == "step" and not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    assert run_sweep(runs, ledger, tmp_path / "work", on_event=kill_once) == []
    assert kinds.count("died") == 1
    assert losses(ledger) == expected
    assert not list((tmp_path / "work").iterdir())


def _sweep(runs: list[RunConfig], ledger: Path, work: Path) -> None:
    run_sweep(runs, Ledger(ledger), work)


def test_a_killed_sweep_goes_on_when_started_again(
    runs: list[RunConfig], expected: dict[str, float], tmp_path: Path
) -> None:
    path, work = tmp_path / "runs.jsonl", tmp_path / "work"
    for _ in range(2):
        engine = multiprocessing.get_context("spawn").Process(target=_sweep, args=(runs, path, work))
        engine.start()
        deadline = time.monotonic() + 60
        while not work.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        os.kill(engine.pid, signal.SIGKILL)
        engine.join()
    assert run_sweep(runs, Ledger(path), work) == []
    assert losses(Ledger(path)) == expected


def test_runs_that_are_in_the_ledger_are_skipped(
    runs: list[RunConfig], expected: dict[str, float], tmp_path: Path
) -> None:
    started: list[str] = []
    run_sweep(runs, Ledger(tmp_path / "undisturbed.jsonl"), tmp_path / "w", on_event=lambda e: started.append(e.kind))
    assert started == []


def test_a_run_that_cannot_be_is_named(small_run: RunConfig, tmp_path: Path) -> None:
    nowhere = small_run.with_(corpus=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        run_sweep([nowhere], Ledger(tmp_path / "runs.jsonl"), tmp_path / "work")
