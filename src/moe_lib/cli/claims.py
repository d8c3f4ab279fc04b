"""`moe-lib claims`: the verdict on every checkable statement of the paper."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from moe_lib.cli.console import plain_console
from moe_lib.cli.output import print_json
from moe_lib.cli.runs import OWN_LEDGER


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(claims)


def claims(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Claims such as C23; default: all.")
    ] = None,
    ledger: Annotated[Path, typer.Option(help="Rows of our runs.")] = OWN_LEDGER,
    sweep: Annotated[
        list[Path] | None, typer.Option(help="Sweep that selects the rows; may be repeated; default: the grid.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge the paper's claims by its printed law and by our runs; with IDs, only these, with their grounds.

    Works in a checkout of the repository. Example: `moe-lib claims C23 C35`
    """
    from moe_lib.claims import Evidence, board, counts
    from moe_lib.ledger import Ledger

    judged = board(Evidence.of_the_book(Ledger(ledger), sweep or ()), ids=ids or ())
    if as_json:
        print_json([one.contract for one in judged])
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("id", no_wrap=True)
    table.add_column("verdict", min_width=12)
    table.add_column("the paper says", ratio=1)
    table.add_column("effect", min_width=18)
    for one in judged:
        table.add_row(one.claim.id, one.finding.verdict, one.claim.says, one.effect)
    console = plain_console()
    console.print(table)
    if ids:
        for one in judged:
            console.print(f"{one.claim.id}: {one.finding.grounds}")
            console.print(f"rule: {one.claim.rule}\n")
    console.print(", ".join(f"{number} {verdict}" for verdict, number in counts(judged).items()))
