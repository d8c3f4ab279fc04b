"""`moe-lib eval`: evaluates a trained model beside the same model untrained."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from moe_lib.cli.console import plain_console
from moe_lib.cli.output import print_json
from moe_lib.extras import require_extra


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(name="eval")(evaluate)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    corpus: Annotated[str, typer.Option(help="Corpus of the held-out text; default: the one it was trained on.")] = "",
    tasks: Annotated[Path | None, typer.Option(help="Folder of few-shot tasks (JSONL).")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows of each task, 0 for all.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Held-out loss, probes and few-shot tasks of a trained model, beside the same model untrained.

    Example: `moe-lib eval out --tasks my-tasks`
    """
    require_extra("train", "moe-lib eval")
    from moe_lib.budget import plan
    from moe_lib.data import open_corpus
    from moe_lib.data.injection import injection
    from moe_lib.data.recipes import recipe_name
    from moe_lib.evaluation.report import report_of
    from moe_lib.model import build_model
    from moe_lib.training import load_run, require_corpus

    run, trained = load_run(folder)
    text = open_corpus(corpus or run.corpus, run.model.vocab_size)
    require_corpus(folder, text, own=recipe_name(corpus or run.corpus) == recipe_name(run.corpus))
    untrained = build_model(run.model, run.training.seed, expert_spread=run.training.expert_spread).eval()
    injected = injection(plan(run), text.tokenizer)
    report = report_of(trained, untrained, text, injected.world if injected else None, tasks, rows or None)
    if as_json:
        print_json(report)
        return
    console = plain_console()
    _print_loss(console, report)
    _print_probes(console, report)
    for sentence in report["notes"]:
        console.print(sentence, soft_wrap=True)


def _print_loss(console: Console, report: dict[str, Any]) -> None:
    table = Table("held-out text", "trained, nats per token", "bits per byte", "untrained")
    trained, untrained = report["trained"], report["untrained"]
    for name, one, other in [
        ("all", trained, untrained),
        *((name, trained["slices"][name], untrained["slices"][name]) for name in trained["slices"]),
    ]:
        loss = f"{one['loss']:.4f} ± {one['loss_standard_error']:.4f}"
        table.add_row(name, loss, f"{one['bits_per_byte']:.4f}", f"{other['loss']:.4f}")
    console.print(table)


def _print_probes(console: Console, report: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption="before: the same model, untrained")
    table.add_column("question", no_wrap=True)
    for name in ("n", "nats", "nats,\nbefore", "right", "right,\nbefore", "by\nchance"):
        table.add_column(name, justify="right")
    for row in report["table"]:
        nats = (f"{row[name]:.2f}" for name in ("nll", "untrained_nll"))
        shares = (
            "" if row[name] is None else f"{row[name]:.0%}" for name in ("accuracy", "untrained_accuracy", "chance")
        )
        table.add_row(row["question"], str(row["n"] or ""), *nats, *shares)
    console.print(table)
