"""`moe-lib data`: build the tokens that models read."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    group = typer.Typer(help="Build and verify the text that models read.")
    group.command()(prepare)
    # A group with a single command would lose the command's name.
    group.callback()(lambda: None)
    app.add_typer(group, name="data")


def prepare(
    corpus: Annotated[str, typer.Option(help="embedded, or a file or folder of text.")] = "embedded",
    vocab_size: Annotated[int, typer.Option(help="Tokens of the byte-level BPE, 257 to 65,535.")] = 1024,
    root: Annotated[Path | None, typer.Option(help="Where corpora are kept; default: MOE_LIB_DATA.")] = None,
) -> None:
    """Turn text into a tokenizer and memory-mapped tokens, or verify those that stand.

    Example: `moe-lib data prepare --corpus embedded`
    """
    from moe_lib.data import prepare

    console = Console()
    prepared = prepare(corpus, vocab_size=vocab_size, root=root, say=console.print)
    manifest = prepared.manifest
    table = Table("slice", "prose", "documents", "duplicates", "MB", "training tokens", "held-out tokens", "licence")
    for part in manifest.slices:
        counts = (f"{count:,}" for count in (part.n_train_tokens, part.n_heldout_tokens))
        yes = "yes" if part.prose else "no"
        size = f"{part.n_bytes / 1e6:.1f}"
        table.add_row(part.name, yes, f"{part.n_documents:,}", f"{part.n_duplicates:,}", size, *counts, part.licence)
    console.print(table)
    console.print(f"{manifest.n_train_tokens:,} training tokens, {manifest.prose_share:.0%} of the bytes are prose")
    console.print(f"digest {prepared.digest}\n{prepared.root}", soft_wrap=True, highlight=False)
