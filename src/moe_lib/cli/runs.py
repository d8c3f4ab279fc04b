"""`moe-lib train` and `moe-lib sweep`: one run, or many."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from moe_lib.cli.at_scale import print_gpu_plan
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
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Replace a field of the run: training.learning_rate=3e-3.")
    ] = None,
    log: Annotated[str | None, typer.Option(help="Log progress to tensorboard or wandb too.")] = None,
) -> None:
    """Train one run, evaluate it, and write its row to the ledger; repeated, the command resumes where it stopped.

    Example: `moe-lib train run.yaml --out out`
    """
    require_extra("train", "moe-lib train")
    from moe_lib.cli.live import one_run
    from moe_lib.config import RunConfig, read_yaml, with_settings
    from moe_lib.errors import InputError
    from moe_lib.evaluation import evaluate
    from moe_lib.ledger import Ledger
    from moe_lib.training import Progress, execute, own_folder, require_outside
    from moe_lib.training.loggers import open_logger

    if not checkpoint_seconds >= 0:
        raise InputError(f"checkpoint-seconds = {checkpoint_seconds:g} has to be at least 0")
    console = plain_console()
    run, rows = RunConfig(**with_settings(read_yaml(file), set_ or [])), Ledger(ledger)
    require_outside(out, ledger, "ledger")
    corpus = _corpora([run], console)[run.corpus, run.model.vocab_size]
    rows.require_writable()
    rows.require_corpora({run.key: corpus.digest})
    with own_folder(out, run):
        logger = open_logger(log, run, out) if log else None
        with one_run(console, run) as show:

            def on_step(progress: Progress) -> None:
                show(progress)
                if logger:
                    logger.step(progress)

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
        if logger:
            logger.end(row)
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
    minutes: Annotated[int | None, typer.Option(min=1, help="Slurm: time limit of a job.")] = None,
    gpus: Annotated[int, typer.Option(min=0, help="Slurm: GPUs of a job.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and train nothing.")] = False,
    devices: Annotated[int | None, typer.Option(min=1, help="Dry run: plan for runs on this many GPUs each.")] = None,
    utilisation: Annotated[float, typer.Option(help="Dry run on GPUs: the assumed share of their peak.")] = 0.35,
) -> None:
    """Train every run of a sweep that the ledger does not have yet; if killed, repeat the command to resume.

    On Slurm, ledger, work and data have to be on a file system that all nodes share; SBATCH_PARTITION and the like
    choose the nodes. A job that nears its time limit saves a checkpoint and is requeued.

    Example: `moe-lib sweep sweep.yaml --dry-run`, or for GPUs `moe-lib sweep sweep.yaml --dry-run --devices 8`
    """
    if not dry_run:
        require_extra("train", "moe-lib sweep without --dry-run")
    from moe_lib.cli.live import many_runs
    from moe_lib.errors import InputError
    from moe_lib.ledger import Ledger
    from moe_lib.sweeps import Event, Resources, read_sweep, run_on_slurm, run_sweep
    from moe_lib.sweeps.forecast import forecast

    on_slurm = partial(run_on_slurm, resources=Resources(minutes, gpus))
    engines: dict[str, Callable[..., list[RunConfig]]] = {"local": run_sweep, "slurm": on_slurm}
    if engine == "local" and (minutes or gpus):
        raise InputError("minutes and gpus are of Slurm's jobs; give --engine slurm too, or leave them out")
    if engine not in engines:
        raise InputError(f"engine = {engine!r} has to be one of {', '.join(engines)}")
    console = plain_console()
    runs, rows = read_sweep(file, *([] if block is None else [block])), Ledger(ledger)
    if devices:
        if not dry_run:
            raise InputError("devices plans a dry run on GPUs; give --dry-run too, or leave it out")
        print_gpu_plan(runs, devices, utilisation, console)
        return
    corpora = _corpora(runs, console, missing_ok=dry_run)
    plan = forecast(runs, corpora, rows)  # refuses a run that its corpus is too small for, before any starts
    digests = {run.key: found.digest for run in runs if (found := corpora.get((run.corpus, run.model.vocab_size)))}
    if dry_run:
        _print_plan(plan, console)
    rows.require_corpora(digests)
    if dry_run:
        return
    rows.require_writable()
    done = rows.keys()
    waiting = [run for run in runs if run.key not in done]
    console.print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them in {ledger}")
    if not waiting:
        return
    lost: list[Event] = []
    with many_runs(console, waiting, len(runs) - len(waiting)) as show:

        def on_event(event: Event) -> None:
            show(event)
            if event.kind == "given up":
                lost.append(event)

        engines[engine](waiting, rows, work, n_workers=workers, on_event=on_event, digests=digests)
    for event in lost:
        console.print(f"no row for run {event.run.key}: {event.why}; repeat the command to try again", soft_wrap=True)
    if lost:
        raise typer.Exit(1)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run; for olmo-core, the run in YAML.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    to: Annotated[str, typer.Option(help="The format: hf, olmo-core, or run, which brings olmo-core's back.")] = "hf",
    ledger: Annotated[Path, typer.Option(help="The ledger with the run's row, for the model card of hf.")] = OWN_LEDGER,
) -> None:
    """Write a run for another library: a trained one for Hugging Face, or one to train with OLMo-core on many devices.

    `--to run` turns what OLMo-core trained into a trained run, for `moe-lib eval` and for the other export.

    Example: `moe-lib export out --to hf out/hf`
    """
    require_extra("train", "moe-lib export")
    from moe_lib.errors import InputError
    from moe_lib.ledger import Ledger
    from moe_lib.training.export import export_run

    console = plain_console()
    if to == "hf":
        export_run(run, out, Ledger(ledger))
        console.print(f"written to {out}; load it with AutoModelForCausalLM.from_pretrained('{out}')", soft_wrap=True)
    elif to == "olmo-core":
        _to_olmo_core(run, out, console)
    elif to == "run":
        _from_olmo_core(run, out, console)
    else:
        raise InputError(f"to = {to!r} has to be hf, olmo-core or run")


def _to_olmo_core(file: Path, out: Path, console: Console) -> None:
    from moe_lib.config import RunConfig
    from moe_lib.training.olmo_core import export_to_olmo_core

    run = RunConfig.from_yaml(file)
    export_to_olmo_core(run, _corpora([run], console)[run.corpus, run.model.vocab_size], out)
    console.print(f"written to {out}; train it with: torchrun --nproc-per-node DEVICES {out}/train.py", soft_wrap=True)


def _from_olmo_core(folder: Path, out: Path, console: Console) -> None:
    from moe_lib.training.olmo_core import exported_run, import_from_olmo_core

    run = exported_run(folder)
    import_from_olmo_core(folder, _corpora([run], console)[run.corpus, run.model.vocab_size], out)
    console.print(f"written to {out}; evaluate it with: moe-lib eval {out}", soft_wrap=True)


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
