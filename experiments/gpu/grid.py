"""The GPU grid: a short tuning, then runs by rising budget, none of which is forecast to end after the deadline."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.ledger import Ledger
from moe_lib.sweeps import SweepConfig

BATCHES, FACTORS = (32, 64, 128), (1.0, 2.0, 4.0)  # sequences; multiples of the rates of grid.yaml
START_SECONDS = 20.0  # what a run takes beside its steps, until one has been measured
MARGIN = 1.3  # a forecast is this multiple of what similar runs took
NEAREST = 5  # runs that a forecast is made from


@dataclass
class Clock:
    """Forecasts the seconds of a run from those that have ended."""

    flops_per_second: float | None = None  # of one worker, before a run has been measured
    seen: list[tuple[float, float]] = field(default_factory=list)  # FLOPs and seconds of ended runs

    def forecast(self, run: RunConfig) -> float:
        """Seconds that a run will take; the slowest of the runs of nearest budget, scaled up if it is larger."""
        flops = plan(run).flops
        if not self.seen:
            return MARGIN * (START_SECONDS + (flops / self.flops_per_second if self.flops_per_second else 0.0))
        nearest = sorted(self.seen, key=lambda one: abs(one[0] - flops))[:NEAREST]
        return MARGIN * max(seconds * max(1.0, flops / known) for known, seconds in nearest)


def train_one(run: RunConfig, ledger: Path, work: Path) -> tuple[str | None, float]:
    """One run into the ledger, in a worker; what is wrong with it, and its seconds."""
    from moe_lib.sweeps.engine import finish

    began = time.monotonic()
    return finish(run, Ledger(ledger), work), time.monotonic() - began


def train_all(
    runs: Sequence[RunConfig], ledger: Path, work: Path, left: Callable[[], float], clock: Clock, n_workers: int
) -> dict[str, Any]:
    """Train the runs that the ledger lacks; none starts that is forecast to end after the deadline.

    `left` gives the seconds before it. Runs that are under way then are ended; their checkpoints stay in `work`.
    """
    done = Ledger(ledger).keys() if ledger.exists() else set()
    waiting = [run for run in runs if run.key not in done]
    active: dict[str, Any] = {}
    result: dict[str, Any] = {"n_runs": len(runs), "n_before": len(runs) - len(waiting), "n_done": 0,
                              "problems": {}, "not_started": [], "ended": []}  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(n_workers) as pool:
        while (waiting or active) and left() > 0:
            while waiting and len(active) < n_workers:
                run = waiting.pop(0)
                if (seconds := clock.forecast(run)) > left():
                    result["not_started"].append(
                        {"key": run.key, "flops": run.training.flops, "forecast_seconds": round(seconds)}
                    )
                else:
                    active[run.key] = (run, pool.apply_async(train_one, (run, ledger, work)))
            time.sleep(0.05)
            for key, (run, job) in list(active.items()):
                if not job.ready():
                    continue
                del active[key]
                try:
                    problem, seconds = job.get()
                    if not problem:
                        clock.seen.append((plan(run).flops, seconds))
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
                if problem:
                    result["problems"][key] = problem[:300]
                else:
                    result["n_done"] += 1
        result["ended"] = list(active)
        result["not_started"] += [{"key": run.key, "flops": run.training.flops} for run in waiting]
    return result


def variants(runs: Sequence[RunConfig], batch: int, factor: float) -> list[RunConfig]:
    """Runs at another batch size, with both rates multiplied."""

    def scaled(rate: float) -> float:
        return float(f"{rate * factor:.2g}")

    return [
        run.with_(
            training=run.training.with_(
                batch_size=batch,
                learning_rate=scaled(run.training.learning_rate),
                **({"muon_rate": scaled(run.training.muon_rate)} if run.training.muon_rate else {}),
            )
        )
        for run in runs
    ]


def tuned(
    sweep: SweepConfig, ledger: Path, train: Callable[[Sequence[RunConfig], Path], dict[str, Any]], small: bool
) -> dict[str, Any]:
    """Train the tuning runs; `best` is the pair of batch size and factor with the lowest mean loss of all sparsities.

    A pair of which a run diverged or is missing does not count.
    """
    base = sweep.runs("tuning")
    pairs = [(batch, factor) for batch in ((4, 8) if small else BATCHES) for factor in ((1.0,) if small else FACTORS)]
    options = {pair: variants(base, *pair) for pair in pairs}
    result = train([run for runs in options.values() for run in runs], ledger)
    rows = {row["key"]: row for row in Ledger(ledger).rows()} if ledger.exists() else {}
    losses = {
        pair: statistics.mean(rows[run.key]["loss"] for run in runs)
        for pair, runs in options.items()
        if all(rows.get(run.key, {}).get("status") == "done" for run in runs)
    }
    table = [{"batch_size": batch, "factor": factor, "loss": loss} for (batch, factor), loss in losses.items()]
    return result | {"table": table, "best": list(min(losses, key=lambda pair: losses[pair])) if losses else None}


def grid_runs(sweep: SweepConfig, best: Sequence[float] | None) -> list[RunConfig]:
    """The runs of the grid by rising budget, at the tuned batch size and rates if there are any."""
    runs = sorted(sweep.runs("grid"), key=lambda run: run.training.flops)
    return variants(runs, int(best[0]), best[1]) if best else runs
