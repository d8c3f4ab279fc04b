"""The engine for a cluster: one Slurm job per run by submitit, with the local engine's checkpoints and ledger.

Before a job's time limit, or when it is preempted, Slurm sends a signal: the job saves a checkpoint at its next step,
is requeued, and resumes from there. Jobs append their own rows, so the ledger and the work folder have to be on a file
system that all nodes share and that supports locks (NFS 4, or Lustre mounted with `flock`).

submitit hands jobs over as pickles in `work/slurm`, and a node runs what it finds there, so that folder is closed to
others; whoever may write to the work folder itself could still put another in its place. Nothing else here reads
pickles.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from moe_lib.config import RunConfig
from moe_lib.errors import InputError
from moe_lib.extras import require_extra
from moe_lib.ledger import Ledger
from moe_lib.sweeps.engine import Event, finish

if TYPE_CHECKING:
    from moe_lib.training import Progress

MINUTES = 240  # time limit of a job, unless another is asked for
SIGNAL_SECONDS = 90  # from the signal to the time limit; at most half of it
REQUEUES = 1000
SECONDS_BETWEEN_LOOKS = 10.0
LOOKS = 2  # that do not find a job in the queue before it counts as ended without a result
SIGNAL = signal.SIGUSR2  # submitit's


@dataclass(frozen=True)
class Resources:
    """What a job asks for; `minutes` is its time limit (default: SBATCH_TIMELIMIT, else 240)."""

    minutes: int | None = None
    gpus: int = 0


@dataclass(frozen=True)
class _SlurmJob:
    """The job of one run; submitit calls `checkpoint` before it requeues the job."""

    requeues: int = 0

    def __call__(self, run: RunConfig, ledger: Path, work: Path, digest: str | None = None) -> tuple[str | None, int]:
        """Finish the run; returns the problem, if there is one, and how often the job was requeued."""
        from moe_lib.training import Stopped

        requeue: Any = signal.getsignal(SIGNAL)
        signalled = training = False
        last = 0

        def on_signal(number: int, frame: Any) -> None:
            nonlocal signalled
            signalled = True
            if not training:  # there is nothing to save that is not saved
                requeue(number, frame)

        def on_step(progress: "Progress") -> None:
            nonlocal training, last
            if not training and self.requeues:
                print(f"resumed after step {progress.step - 1}")
            training, last = progress.step < progress.n_steps, progress.step
            if signalled:
                raise Stopped

        if callable(requeue):
            signal.signal(SIGNAL, on_signal)
        try:
            return finish(run, Ledger(ledger), work, on_step, digest), self.requeues
        except Stopped:
            print(f"signal: saved after step {last}")
            requeue(SIGNAL, None)
            raise

    def checkpoint(self, run: RunConfig, ledger: Path, work: Path, digest: str | None = None) -> Any:
        """The same job again; training resumes from its own checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(_SlurmJob(self.requeues + 1), run, ledger, work, digest)


def run_on_slurm(
    runs: list[RunConfig],
    ledger: Ledger,
    work: Path,
    *,
    n_workers: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    resources: Resources | None = None,
    digests: Mapping[str, str] = MappingProxyType({}),
    cluster: str = "slurm",
) -> list[RunConfig]:
    """Train the runs that the ledger does not have yet, at most `n_workers` jobs at a time, and wait for them.

    Returns the runs whose job was cancelled or failed; their event says which. Raises `InputError` without submitit or
    Slurm, if Slurm refuses the jobs, or if a job finds its configuration invalid, or a corpus that has not the digest
    that `digests` has for the run's key. Then, and on an interrupt, the other jobs are cancelled. `cluster` is
    submitit's: `local` runs the jobs as processes on this machine.
    """
    done = ledger.keys()
    waiting = [run for run in runs if run.key not in done]
    if not waiting:
        return []
    executor = _executor(work.resolve(), cluster, n_workers or len(waiting), resources or Resources())
    places = [ledger.path.resolve()] * len(waiting), [work.resolve()] * len(waiting)
    expected = [digests.get(run.key) for run in waiting]
    started = _submitted(executor, waiting, *places, expected)
    jobs = dict(zip((run.key for run in waiting), started, strict=True))
    failed: list[RunConfig] = []
    looks = {run.key: 0 for run in waiting}  # without finding its job in the queue
    try:
        while waiting:
            queued = _queued() if cluster == "slurm" else {job.job_id for job in jobs.values() if not job.done()}
            for run in list(waiting):
                job = jobs[run.key]
                looks[run.key] = 0 if queued is None or job.job_id in queued else looks[run.key] + 1
                if not job.paths.result_pickle.exists() and looks[run.key] < LOOKS:
                    continue
                waiting.remove(run)
                event = _end_of(run, jobs[run.key])
                if event.kind == "given up":
                    failed.append(run)
                on_event(event)
            time.sleep(SECONDS_BETWEEN_LOOKS if cluster == "slurm" else 0.1)
    finally:
        for run in waiting:
            jobs[run.key].cancel()
    return failed


def _submitted(executor: Any, *arguments: list[Any]) -> list[Any]:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with redirect_stderr(StringIO()):  # submitit repeats what sbatch says
            jobs: list[Any] = executor.map_array(_SlurmJob(), *arguments)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        said = re.findall(r"sbatch: error: (.+)", f"{error}\n{getattr(error, 'stderr', '')}")
        reason = said[-1].removeprefix("Batch job submission failed: ") if said else str(error).splitlines()[0]
        raise InputError(f"Slurm refused the jobs: {reason}") from None
    return jobs


def _queued() -> set[str] | None:
    """Jobs of this user that wait or run; None if Slurm does not answer.

    Slurm's accounting, which submitit asks, has no record of a job that was cancelled before it started.
    """
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if listed.returncode else set(listed.stdout.split())


def _end_of(run: RunConfig, job: Any) -> Event:
    """What happened to an ended job; `InputError` if it found its configuration invalid."""
    if not job.paths.result_pickle.exists():
        return Event(run, "given up", why=_why(job.watcher.get_state(job.job_id, mode="force"), job.paths.stderr))
    try:
        problem, n_requeues = job.result()
    except Exception as error:  # submitit wraps whatever the job raised in its own classes
        too_often = "too many times" in str(error)
        why = "its job reached the time limit too many times" if too_often else _why("FAILED", job.paths.stderr)
        return Event(run, "given up", why=why)
    if problem:
        raise InputError(problem)
    times = {0: "", 1: "was requeued once and resumed"}.get(n_requeues, f"was requeued {n_requeues} times and resumed")
    return Event(run, "finished", share=1.0, why=times)


def _why(state: str, log: Path) -> str:
    """What ended a job without a result, from Slurm's word for it."""
    words = {
        "CANCELLED": "its job was cancelled",
        "UNKNOWN": "its job was cancelled before it started",
        "TIMEOUT": "its job reached the time limit before it could save a checkpoint",
        "OUT_OF_MEMORY": "its job needed more memory than Slurm gave it",
        "NODE_FAIL": "its node failed",
    }
    return words.get(state.partition(" ")[0], f"its job failed; see {log}")


def _executor(work: Path, cluster: str, n_workers: int, resources: Resources) -> Any:
    require_extra("slurm", "engine = 'slurm'")
    import submitit

    minutes = resources.minutes or MINUTES
    if cluster == "slurm":
        if shutil.which("sbatch") is None:
            raise InputError("engine = 'slurm' needs Slurm's sbatch, which is not on this machine; use local")
        minutes = _time_limit(resources)
    work.mkdir(parents=True, exist_ok=True)
    jobs = work / "slurm"
    jobs.mkdir(exist_ok=True)
    jobs.chmod(0o700)
    executor = submitit.AutoExecutor(folder=jobs, cluster=cluster, slurm_max_num_timeout=REQUEUES)
    executor.update_parameters(
        name="moe-lib",
        cpus_per_task=1,
        timeout_min=minutes,
        slurm_array_parallelism=n_workers,
        slurm_signal_delay_s=min(SIGNAL_SECONDS, 30 * minutes),
        **({"gpus_per_node": resources.gpus} if resources.gpus else {}),
    )
    return executor


def _time_limit(resources: Resources) -> int:
    """Minutes that a job asks for; `InputError` if the partition allows fewer, which would leave it pending forever."""
    environment = os.environ.get("SBATCH_TIMELIMIT")
    if environment and resources.minutes:
        raise InputError(f"minutes = {resources.minutes} and SBATCH_TIMELIMIT = {environment} cannot both be given")
    minutes = resources.minutes or (_minutes(environment) if environment else MINUTES)
    name, limit = _partition()
    if limit is not None and minutes is not None and minutes > limit:
        raise InputError(f"minutes = {minutes} has to be at most {limit}, the time limit of Slurm's partition '{name}'")
    return minutes or MINUTES


def _partition() -> tuple[str, int | None]:
    """Name and time limit in minutes of the partition that jobs go to; no limit if Slurm does not say."""
    asked = os.environ.get("SBATCH_PARTITION")
    listed = subprocess.run(["sinfo", "--noheader", "--format=%P|%l"], capture_output=True, text=True, check=False)
    for line in listed.stdout.splitlines():
        name, _, limit = line.strip().partition("|")
        if name == asked or (asked is None and name.endswith("*")):
            return name.rstrip("*"), _minutes(limit)
    return asked or "", None


def _minutes(text: str) -> int | None:
    """Whole minutes of a time as Slurm writes it: minutes, [H:]MM:SS or D-H[:MM[:SS]]; None without a limit."""
    found = re.fullmatch(r"(?:(\d+)-(\d+)(?::(\d+))?(?::\d+)?|(?:(\d+):)?(\d+):\d+|(\d+))", text.strip())
    if found is None:
        return None
    days, hours_too, minutes_too, hours, minutes, alone = (int(part or 0) for part in found.groups())
    return max(1, (days * 24 + hours_too + hours) * 60 + minutes_too + minutes + alone)
