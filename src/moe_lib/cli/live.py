"""Progress on the screen: one bar per run, and for a sweep the machine's throughput and the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from moe_lib.accounting import count_flops, count_parameters
from moe_lib.config import RunConfig
from moe_lib.sweeps import Event

if TYPE_CHECKING:
    from moe_lib.training import Progress as Step


def title(run: RunConfig) -> str:
    """A run in a few words."""
    counts = count_parameters(run.model)
    return (
        f"S {run.model.sparsity:.3g}  d {run.model.d_model} x {run.model.n_layers}  "
        f"N {counts.total / 1e6:.2f}M  C {run.training.flops:.0e}"
    )


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[news]}"),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def one_run(console: Console, run: RunConfig) -> Iterator["Callable[[Step], None]"]:
    """A bar with loss, tokens/s and time left."""
    with _bars(console) as bars:
        task = bars.add_task(title(run), total=1.0, news="")

        def step(progress: "Step") -> None:
            news = f"loss {progress.loss:.3f}  {progress.tokens_per_second:,.0f} tokens/s"
            bars.update(task, completed=progress.step / progress.n_steps, news=news)

        yield step
        if not bars.tasks[0].completed:  # every step was done before
            bars.update(task, completed=1.0)


@contextmanager
def many_runs(console: Console, runs: list[RunConfig], n_done: int) -> Iterator[Callable[[Event], None]]:
    """A bar for the sweep and one per active run, and a line for each run that ends or dies."""
    todo = sum(run.training.flops for run in runs)
    began = monotonic()
    with _bars(console) as bars:
        whole = bars.add_task("sweep", total=1.0, news="")
        tasks: dict[str, TaskID] = {}
        spent: dict[str, float] = {}
        loss: dict[str, float] = {}
        speed: dict[str, float] = {}
        finished = n_done

        def event(news: Event) -> None:
            nonlocal finished
            run, key = news.run, news.run.key
            spent[key] = news.share * run.training.flops
            if news.kind == "step":
                assert news.loss is not None
                assert news.tokens_per_second is not None
                loss[key], speed[key] = news.loss, news.tokens_per_second * count_flops(run.model).total
                if key not in tasks:
                    tasks[key] = bars.add_task(title(run), total=1.0, news="")
                detail = f"loss {news.loss:.3f}  {news.tokens_per_second:,.0f} tokens/s"
                bars.update(tasks[key], completed=news.share, news=detail)
            else:
                if key in tasks:
                    bars.remove_task(tasks.pop(key))
                speed.pop(key, None)
                finished += news.kind == "finished"
                last = f"training loss {loss[key]:.3f}" if key in loss else ""
                after = timedelta(seconds=round(monotonic() - began))
                bars.console.print("  ".join(filter(None, [str(after), f"{news.kind:<8}", title(run), last, news.why])))
            total = n_done + len(runs)
            machine = sum(speed.values()) / 1e9
            bars.update(
                whole, completed=sum(spent.values()) / todo, news=f"{finished} of {total} runs  {machine:.0f} GFLOP/s"
            )

        yield event
