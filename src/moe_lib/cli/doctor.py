"""`moe-lib doctor`: what can run on this machine."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Report what can run on this machine, and why the rest cannot.

    The exit code is 1 if something that the defaults need is missing.

    Example: `moe-lib doctor`
    """
    from dataclasses import asdict

    from rich.table import Table

    from moe_lib.cli.console import plain_console
    from moe_lib.cli.output import print_json
    from moe_lib.doctor import examine

    findings = list(examine())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("", "what", "found", show_edge=False)
        for finding in findings:
            table.add_row({True: "ok", False: "missing", None: ""}[finding.ok], finding.what, finding.found)
        plain_console().print(table)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)
