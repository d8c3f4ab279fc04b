"""The engine for a cluster: one Slurm job per run by submitit, with the local engine's checkpoints and ledger.

A job that reaches its time limit or is preempted is requeued and resumes from its checkpoint. Jobs append their own
rows, so the ledger and the work folder have to be on a file system that all nodes share and that supports locks (NFS 4,
or Lustre mounted with `flock`).

submitit hands jobs over as pickles in `work/slurm`, and a node runs what it finds there, so that folder is closed to
others; whoever may write to the work folder itself could still put another in its place. Nothing else here reads
pickles.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moe_lib.config import RunConfig
from moe_lib.errors import InputError
from moe_lib.extras import require_extra
from moe_lib.ledger import Ledger
from moe_lib.sweeps.engine import Event, finish

MINUTES = 240  # time limit of a job, unless SBATCH_TIMELIMIT sets another
REQUEUES = 1000
SECONDS_BETWEEN_LOOKS = 5.0


class _SlurmJob:
    """The job of one run; submitit calls `checkpoint` before it requeues the job."""

    def __call__(self, run: RunConfig, ledger: Path, work: Path) -> str | None:
        return finish(run, Ledger(ledger), work)

    def checkpoint(self, run: RunConfig, ledger: Path, work: Path) -> Any:
        """The same job again; training resumes from its own checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, run, ledger, work)


def run_on_slurm(
    runs: list[RunConfig],
    ledger: Ledger,
    work: Path,
    *,
    n_workers: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    cluster: str = "slurm",
) -> list[RunConfig]:
    """Train the runs that the ledger does not have yet, at most `n_workers` jobs at a time, and wait for them.

    Returns the runs whose job failed. Raises `InputError` without submitit or Slurm, or if a job finds its
    configuration invalid. Then, and on an interrupt, the other jobs are cancelled. `cluster` is submitit's: `local`
    runs the jobs as processes on this machine.
    """
    done = ledger.keys()
    waiting = [run for run in runs if run.key not in done]
    if not waiting:
        return []
    executor = _executor(work.resolve(), cluster, n_workers or len(waiting))
    places = [ledger.path.resolve()] * len(waiting), [work.resolve()] * len(waiting)
    jobs = dict(zip((run.key for run in waiting), executor.map_array(_SlurmJob(), waiting, *places), strict=True))
    failed: list[RunConfig] = []
    try:
        while waiting:
            for run in [one for one in waiting if jobs[one.key].done()]:
                waiting.remove(run)
                problem = _problem_of(jobs[run.key])
                if isinstance(problem, Exception):
                    failed.append(run)
                elif problem:
                    raise InputError(problem)
                on_event(Event(run, "given up" if run in failed else "finished", share=1.0))
            time.sleep(SECONDS_BETWEEN_LOOKS if cluster == "slurm" else 0.1)
    finally:
        for run in waiting:
            jobs[run.key].cancel()
    return failed


def _problem_of(job: Any) -> str | Exception | None:
    """The problem that an ended job reports, or the exception that ended it; None if it succeeded."""
    try:
        result: str | None = job.result()
    except Exception as error:  # submitit wraps whatever the job raised in its own classes
        return error
    return result


def _executor(work: Path, cluster: str, n_workers: int) -> Any:
    require_extra("slurm", "engine = 'slurm'")
    import submitit

    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise InputError("engine = 'slurm' needs Slurm's sbatch, which is not on this machine; use local")
    work.mkdir(parents=True, exist_ok=True)
    jobs = work / "slurm"
    jobs.mkdir(exist_ok=True)
    jobs.chmod(0o700)
    executor = submitit.AutoExecutor(folder=jobs, cluster=cluster, slurm_max_num_timeout=REQUEUES)
    executor.update_parameters(name="moe-lib", cpus_per_task=1, timeout_min=MINUTES, slurm_array_parallelism=n_workers)
    return executor
