"""`moe-lib ledger merge`: the ledgers of several machines as one."""

from pathlib import Path
from typing import Annotated

import typer

from moe_lib.cli.console import plain_console


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    ledger = typer.Typer(help="Ledgers as files.")
    ledger.callback()(lambda: None)  # keeps `merge` a command of its own, though it is the only one
    ledger.command()(merge)
    app.add_typer(ledger, name="ledger")


def merge(
    files: Annotated[list[Path], typer.Argument(help="Ledgers, for example one per node.")],
    out: Annotated[Path, typer.Option(help="The ledger to write; it must not exist yet.")],
) -> None:
    """Write the rows of several ledgers to a new one; nothing is written if two rows have one key.

    Example: `moe-lib ledger merge node1.jsonl node2.jsonl --out runs.jsonl`
    """
    from moe_lib.ledger import merge_ledgers

    n_rows = merge_ledgers(files, out)
    plain_console().print(f"{n_rows} rows of {len(files)} ledgers were written to {out}", soft_wrap=True)
