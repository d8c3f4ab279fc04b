"""`moe-lib train` and `moe-lib sweep`: one run, or many."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from moe_lib.cli.console import plain_console
from moe_lib.extras import require_extra

if TYPE_CHECKING:
    import pandas as pd

    from moe_lib.config import RunConfig
    from moe_lib.data import TokenCorpus

# The repository's ledger in a checkout, otherwise a file in the working folder.
OWN_LEDGER = Path("experiments/results" if Path("experiments").is_dir() else "") / "runs.jsonl"

LedgerOption = Annotated[
    Path, typer.Option(help="The ledger that the rows go to; outside a checkout, runs.jsonl in the current folder.")
]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(train)
    app.command()(sweep)
    app.command()(export)


def train(
    file: Annotated[Path, typer.Argument(help="The run, in YAML.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, weights and tokenizer.")],
    ledger: LedgerOption = OWN_LEDGER,
    backend: Annotated[
        str | None, typer.Option(help="How the model is computed: native (default if it builds), grouped_mm, loop.")
    ] = None,
    checkpoint_seconds: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 60.0,
) -> None:
    """Train one run, evaluate it, and write its row to the ledger; repeated, the command resumes where it stopped.

    Example: `moe-lib train run.yaml --out out`
    """
    require_extra("train", "moe-lib train")
    from moe_lib.cli.live import one_run
    from moe_lib.config import RunConfig
    from moe_lib.errors import InputError
    from moe_lib.evaluation import evaluate
    from moe_lib.ledger import Ledger
    from moe_lib.training import execute, own_folder, require_outside

    if not checkpoint_seconds >= 0:
        raise InputError(f"checkpoint-seconds = {checkpoint_seconds:g} has to be at least 0")
    console = plain_console()
    run, rows = RunConfig.from_yaml(file), Ledger(ledger)
    require_outside(out, ledger, "ledger")
    corpus = _corpora([run], console)[run.corpus, run.model.vocab_size]
    rows.require_writable()
    with own_folder(out, run):
        with one_run(console, run) as on_step:
            row = execute(
                run,
                corpus,
                evaluate,
                out,
                backend=backend,
                seconds_between_checkpoints=checkpoint_seconds,
                on_step=on_step,
            )
        new = rows.append(row)
    loss = f"loss {row['loss']:.4f} ± {row['loss_standard_error']:.4f} nats per token" if "loss" in row else ""
    console.print(f"{row['status']}: {loss}")
    console.print(f"row {run.key} {'was written to' if new else 'is already in'} {ledger}; weights in {out}")


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep, in YAML.")],
    ledger: LedgerOption = OWN_LEDGER,
    work: Annotated[Path, typer.Option(help="Folder for the checkpoints of runs under way.")] = Path(".work"),
    workers: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: one per core.")] = None,
    block: Annotated[str | None, typer.Option(help="Only the blocks with this name.")] = None,
    engine: Annotated[str, typer.Option(help="Where to train: local or slurm.")] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and train nothing.")] = False,
) -> None:
    """Train every run of a sweep that the ledger does not have yet; if killed, repeat the command to resume.

    On Slurm, ledger, work and data have to be on a file system that all nodes share; SBATCH_PARTITION and the like
    choose the nodes.

    Example: `moe-lib sweep sweep.yaml --dry-run`
    """
    if not dry_run:
        require_extra("train", "moe-lib sweep without --dry-run")
    from moe_lib.cli.live import many_runs
    from moe_lib.errors import InputError
    from moe_lib.ledger import Ledger
    from moe_lib.sweeps import read_sweep, run_on_slurm, run_sweep
    from moe_lib.sweeps.forecast import forecast

    engines = {"local": run_sweep, "slurm": run_on_slurm}
    if engine not in engines:
        raise InputError(f"engine = {engine!r} has to be one of {', '.join(engines)}")
    console = plain_console()
    runs, rows = read_sweep(file, *([] if block is None else [block])), Ledger(ledger)
    if dry_run:
        _print_plan(forecast(runs, _corpora(runs, console, missing_ok=True), rows), console)
        return
    forecast(runs, _corpora(runs, console), rows)  # refuses a run that its corpus is too small for, before any starts
    rows.require_writable()
    done = rows.keys()
    waiting = [run for run in runs if run.key not in done]
    console.print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them in {ledger}")
    with many_runs(console, waiting, len(runs) - len(waiting)) as on_event:
        given_up = engines[engine](waiting, rows, work, n_workers=workers, on_event=on_event)
    for run in given_up:
        console.print(f"gave up after the worker died three times: {run.key}")
    if given_up:
        raise typer.Exit(1)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    to: Annotated[str, typer.Option(help="The format; hf is the only one.")] = "hf",
) -> None:
    """Write a trained model so that `AutoModelForCausalLM.from_pretrained` loads it, with its tokenizer.

    Example: `moe-lib export out --to hf out/hf`
    """
    require_extra("train", "moe-lib export")
    from moe_lib.errors import InputError
    from moe_lib.training.export import export_run

    if to != "hf":
        raise InputError(f"to = {to!r} has to be hf")
    export_run(run, out)
    plain_console().print(
        f"written to {out}; load it with AutoModelForCausalLM.from_pretrained('{out}')", soft_wrap=True
    )


def _corpora(
    runs: "list[RunConfig]", console: Console, missing_ok: bool = False
) -> "dict[tuple[str, int], TokenCorpus]":
    """The corpora of some runs by name and vocabulary size; `embedded`, which needs no download, is built if missing.

    With `missing_ok`, a missing corpus is left out with a notice.
    """
    from moe_lib.data import open_corpus, prepare
    from moe_lib.errors import InputError

    corpora = {}
    for name, size in dict.fromkeys((run.corpus, run.model.vocab_size) for run in runs):
        try:
            embedded = name.startswith("embedded")
            corpora[name, size] = prepare(name, size, say=console.print) if embedded else open_corpus(name, size)
        except InputError as error:
            if not missing_ok:
                raise
            console.print(f"{error} (until then the number of epochs is unknown)", soft_wrap=True)
    return corpora


def _print_plan(table: "pd.DataFrame", console: Console) -> None:
    printed = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("S", "shape", "C", "N", "N_a", "D", "steps", "epochs", "core-h"):
        printed.add_column(name, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        hours = "done" if row["done"] else f"{row['core_hours']:.2f}"
        millions = (f"{row[name] / 1e6:.2f}M" for name in ("n_params", "n_params_active", "n_tokens"))
        printed.add_row(
            f"{row['sparsity']:.3g}",
            f"{row['d_model']} x {row['n_layers']}",
            f"{row['flops']:.1e}",
            *millions,
            f"{row['n_steps']:,}",
            "?" if math.isnan(row["epochs"]) else f"{row['epochs']:.2f}",
            hours,
        )
    console.print(printed)
    budgets = table.assign(
        budget=[f"{flops:.0e}" for flops in table["flops"]], left=table["core_hours"] * ~table["done"]
    )
    for budget, own in budgets.groupby("budget"):
        console.print(f"about {budget} FLOPs: {len(own):4} runs, {_hours(own['left'].sum(skipna=False))}")
    left = _hours(budgets["left"].sum(skipna=False))
    console.print(f"in all: {len(table)} runs, {int(table['done'].sum())} done; {left}")


def _hours(hours: float) -> str:
    return "hours unknown until the ledger has a row" if math.isnan(hours) else f"{hours:.1f} core-hours left"
