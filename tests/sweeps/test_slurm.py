"""The cluster's engine, on submitit's local executor: the same rows as the engine here."""

import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.evaluation import evaluate
from moe_lib.ledger import Ledger
from moe_lib.sweeps import Event, run_on_slurm, slurm
from moe_lib.training import Progress, execute, train

pytest.importorskip("submitit")


@pytest.mark.slow
def test_jobs_leave_the_same_rows_and_nothing_else(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    runs = [small_run]
    ledger, events = Ledger(tmp_path / "runs.jsonl"), []
    assert run_on_slurm(runs, ledger, tmp_path / "work", on_event=events.append, cluster="local") == []
    assert [event.kind for event in events] == ["finished"]
    losses = {row["key"]: row["loss"] for row in ledger.rows()}
    assert losses == {run.key: execute(run, small_corpus, evaluate)["loss"] for run in runs}
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["slurm"]  # what submitit logged
    assert stat.S_IMODE((tmp_path / "work" / "slurm").stat().st_mode) == 0o700  # its pickles are run
    assert run_on_slurm(runs, ledger, tmp_path / "work", on_event=events.append, cluster="local") == []
    assert len(events) == 1


@pytest.mark.slow
def test_a_run_that_cannot_be_is_named(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    greedy = small_run.with_(training=small_run.training.with_(max_epochs=1e-6))
    with pytest.raises(InputError, match="at most max_epochs = 1e-06 is allowed"):
        run_on_slurm([greedy], Ledger(tmp_path / "runs.jsonl"), tmp_path / "work", cluster="local")


@pytest.mark.slow
def test_a_job_that_dies_is_given_up(small_run: RunConfig, tmp_path: Path) -> None:
    events: list[Event] = []
    (tmp_path / "runs.jsonl").write_text("")
    nowhere = Ledger(tmp_path / "runs.jsonl")
    assert run_on_slurm([Dead(small_run)], nowhere, tmp_path / "work", on_event=events.append, cluster="local")  # type: ignore[list-item]
    assert [(event.kind, event.why.partition(";")[0]) for event in events] == [("given up", "its job failed")]


class Dead:
    """A run whose job raises what nobody foresaw."""

    def __init__(self, run: RunConfig) -> None:
        self.key = run.key


def test_a_requeued_job_does_the_same_again(small_run: RunConfig, tmp_path: Path) -> None:
    again = slurm._SlurmJob().checkpoint(small_run, tmp_path / "runs.jsonl", tmp_path / "work", "digest")
    assert isinstance(again.function, slurm._SlurmJob)
    assert again.function.requeues == 1
    assert again.args == (small_run, tmp_path / "runs.jsonl", tmp_path / "work", "digest")


def test_a_signal_saves_the_step_it_meets_and_requeues(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(
        run: RunConfig, ledger: Ledger, work: Path, on_step: Callable[[Progress], None], digest: str | None
    ) -> None:
        def step(progress: Progress) -> None:
            if progress.step == 7:
                signal.raise_signal(slurm.SIGNAL)
            on_step(progress)

        train(run, small_corpus, work, on_step=step)

    def requeue(number: int, frame: object) -> None:
        raise SystemExit

    monkeypatch.setattr(slurm, "finish", finish)
    before = signal.signal(slurm.SIGNAL, requeue)
    try:
        with pytest.raises(SystemExit):
            slurm._SlurmJob()(small_run, tmp_path / "runs.jsonl", tmp_path / "work")
    finally:
        signal.signal(slurm.SIGNAL, before)
    assert [path.name for path in (tmp_path / "work").glob("*.json")] == ["step-00000007.json"]
    assert train(small_run, small_corpus, tmp_path / "work").losses.equal(train(small_run, small_corpus).losses)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30", 30), ("30:00", 30), ("2:00:00", 120), ("1-12", 2160), ("1-12:30", 2190), ("1-0:0:0", 1440), ("0:30", 1),
     ("infinite", None), ("UNLIMITED", None), ("n/a", None)],
)  # fmt: skip
def test_slurms_times_are_read(text: str, minutes: int | None) -> None:
    assert slurm._minutes(text) == minutes


def test_what_slurm_says_of_a_job_is_said_in_words(tmp_path: Path) -> None:
    assert slurm._why("CANCELLED by 0", tmp_path) == "its job was cancelled"
    assert slurm._why("COMPLETED", tmp_path / "1_0.err").endswith("1_0.err")


def test_without_slurm_one_sentence_says_so(
    small_run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(
        InputError, match="engine = 'slurm' needs Slurm's sbatch, which is not on this machine; use local"
    ):
        run_on_slurm([small_run], Ledger(tmp_path / "runs.jsonl"), tmp_path / "work")
    assert not (tmp_path / "work").exists()
