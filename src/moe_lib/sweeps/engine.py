"""The local engine: single-threaded workers in parallel, one process per run.

A run keeps its checkpoints in `work/<key>` until its row is in the ledger. The engine restarts a worker that dies, and
the worker resumes from its checkpoint. Workers stop if their engine dies, and a lock admits one worker per run. A sweep
can therefore be killed and restarted at any moment without losing or duplicating a row.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from moe_lib.config import RunConfig
from moe_lib.errors import InputError, sentence, show_notices_plainly
from moe_lib.ledger import Ledger

if TYPE_CHECKING:
    from moe_lib.training import Progress

STARTS = 3
SECONDS_BETWEEN_REPORTS = 0.5


@dataclass(frozen=True)
class Event:
    """News of one run: a finished step, its end, or a dead worker; `share` is the fraction of its steps done.

    A run that is `given up` has no row, and `why` says in a few words what happened; a `finished` one has a `why` if
    it did not go straight through.
    """

    run: RunConfig
    kind: Literal["step", "finished", "died", "given up"]
    share: float = 0.0
    loss: float | None = None
    tokens_per_second: float | None = None
    why: str = ""


@dataclass
class _Worker:
    run: RunConfig
    process: SpawnProcess
    news: Connection
    problem: str | None = None


def run_sweep(
    runs: list[RunConfig],
    ledger: Ledger,
    work: Path,
    *,
    n_workers: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    digests: Mapping[str, str] = MappingProxyType({}),
) -> list[RunConfig]:
    """Train the runs that the ledger does not have yet, `n_workers` at a time (default: one per core).

    Returns the runs that were given up after their worker died three times. Raises `InputError` if a worker finds its
    configuration invalid or cannot use a file, or a corpus has not the digest that `digests` has for the run's key.
    """
    if n_workers is not None and n_workers < 1:
        raise InputError(f"workers = {n_workers} has to be at least 1")
    done = ledger.keys()
    waiting = [run for run in runs if run.key not in done]
    tries = {run.key: 0 for run in waiting}
    given_up: list[RunConfig] = []
    jobs: list[_Worker] = []
    try:
        while waiting or jobs:
            while waiting and len(jobs) < (n_workers or os.cpu_count() or 1):
                run = waiting.pop(0)
                jobs.append(_start(run, ledger, work, digests.get(run.key)))
            for job in _listen(jobs, on_event):
                jobs.remove(job)
                if job.problem:
                    raise InputError(job.problem)
                if job.process.exitcode == 0:
                    on_event(Event(job.run, "finished", share=1.0))
                    continue
                tries[job.run.key] += 1
                if tries[job.run.key] < STARTS:
                    on_event(Event(job.run, "died"))
                    waiting.insert(0, job.run)
                else:
                    on_event(Event(job.run, "given up", why="its worker died three times"))
                    given_up.append(job.run)
    finally:
        for job in jobs:
            job.process.terminate()
            job.process.join()
    return given_up


def _start(run: RunConfig, ledger: Ledger, work: Path, digest: str | None) -> _Worker:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_work, args=(run, ledger.path, work, digest, theirs, os.getpid()))
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update({name: "1" for name in threads})  # the child reads them when it loads its libraries
    # Ctrl-C reaches every process of a terminal; workers block it, and the engine ends them.
    resource_tracker.ensure_running()  # its start would unblock the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in threads.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    theirs.close()
    return _Worker(run, process, ours)


def _listen(jobs: list[_Worker], on_event: Callable[[Event], None]) -> list[_Worker]:
    """Pass on the workers' news; return the jobs whose process has ended."""
    wait([job.news for job in jobs], timeout=1.0)
    ended = []
    for job in jobs:
        alive = job.process.is_alive()  # checked first, so that the last news of an ended worker is in the pipe
        try:
            while job.news.poll():
                message = job.news.recv()
                if isinstance(message, str):
                    job.problem = message
                else:
                    share, loss, rate = message
                    on_event(Event(job.run, "step", share, loss, rate))
        except (EOFError, OSError):
            job.process.join()
            alive = False
        if not alive:
            ended.append(job)
    return ended


def _work(run: RunConfig, ledger_path: Path, work: Path, digest: str | None, news: Connection, engine_pid: int) -> None:
    """The main function of a worker: finish one run, and report to the engine."""
    reported = 0.0

    def report(progress: "Progress") -> None:
        nonlocal reported
        if os.getppid() != engine_pid:
            sys.exit(1)
        if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS or progress.step == progress.n_steps:
            reported = time.monotonic()
            news.send((progress.step / progress.n_steps, progress.loss, progress.tokens_per_second))

    try:
        if problem := finish(run, Ledger(ledger_path), work, report, digest):
            news.send(problem)
    except BrokenPipeError:  # the engine is gone
        sys.exit(1)


def finish(
    run: RunConfig,
    ledger: Ledger,
    work: Path,
    on_step: "Callable[[Progress], None]" = lambda progress: None,
    digest: str | None = None,
) -> str | None:
    """Train a run on one thread, from its checkpoint if it has one, and append its row to the ledger.

    `digest` is the one that its corpus has to have; None for any. Returns None, or one sentence that says what is wrong
    with the run or the machine.
    """
    import torch

    from moe_lib.data import open_corpus
    from moe_lib.evaluation import evaluate
    from moe_lib.training import execute, own_folder, remove_run, require_outside

    show_notices_plainly()
    torch.set_num_threads(1)
    folder = work / run.key
    try:
        require_outside(folder, ledger.path, "ledger")
        with own_folder(folder, run, of_sweep=True):
            if run.key not in ledger:
                corpus = open_corpus(run.corpus, run.model.vocab_size)
                if digest not in (None, corpus.digest):
                    raise InputError(
                        f"corpus = '{run.corpus}' was changed after the sweep began (digest {digest:.12}, now "
                        f"{corpus.digest:.12}); prepare it again from the earlier text"
                    )
                ledger.append(execute(run, corpus, evaluate, folder, on_step=on_step))
            elif digest:  # another process was faster
                ledger.require_corpora({run.key: digest})
            remove_run(folder)
    except BrokenPipeError:
        raise
    except (InputError, OSError) as error:
        return sentence(error)
    return None
