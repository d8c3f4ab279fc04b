"""`moe-lib optimum`: what a law recommends for a budget."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from moe_lib.accounting import Convention
from moe_lib.cli.console import plain_console
from moe_lib.cli.output import print_json
from moe_lib.cli.runs import OWN_LEDGER


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(optimum)


def optimum(
    law: Annotated[
        str,
        typer.Option(
            help="abnar2025, hoffmann2022, besiroglu2024, ludziejewski2025 or frantar2024; a file of `moe-lib fit "
            "--out`, such as fit.json; or ours: Eq. 6 fitted to the runs of the ledger that the grid of the repository "
            "asks for in its blocks surface, noise and budgets; in a checkout."
        ),
    ],
    flops: Annotated[float, typer.Option(help="Training budget C.")],
    max_params: Annotated[float | None, typer.Option(help="Largest N allowed.")] = None,
    params: Annotated[float | None, typer.Option(help="N, if it is fixed.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="S, if it is fixed; only for a law in sparsity.")] = None,
    convention: Annotated[str, typer.Option(help="N_a: ideal, one-embedding or two-embeddings.")] = "ideal",
    ledger: Annotated[Path, typer.Option(help="Runs behind the law `ours`.")] = OWN_LEDGER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a law recommends for a budget: sparsity, parameters and tokens.

    Example: `moe-lib optimum --law abnar2025 --flops 1e21 --max-params 15e9 --json`
    """
    from moe_lib.analysis.our_law import law_named
    from moe_lib.laws.optimum import optimum as best
    from moe_lib.laws.optimum import short_sparsity

    if law.endswith(".json"):
        from moe_lib.saved_fit import load_fit

        chosen = load_fit(Path(law)).law
    else:
        chosen = law_named(law, ledger)
    found = best(
        chosen,
        flops,
        n_params=params,
        max_params=max_params,
        sparsity=sparsity,
        convention=cast(Convention, convention),  # `optimum` checks it
    )
    if as_json:
        print_json(asdict(found))
        return
    table = Table("", "", title=f"{law} at C = {flops:.4g}")
    rows = {
        "sparsity S": short_sparsity(found.sparsity),
        "within 0.01 nats": f"{short_sparsity(found.band[0])} to {short_sparsity(found.band[1])}",
        "parameters N": f"{found.n_params:.4g}",
        "active parameters": f"{found.n_params_active:.4g} ({convention})",
        "tokens D": f"{found.n_tokens:.4g}",
        "loss": f"{found.loss:.4f} nats per token",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    plain_console().print(table)
    for warning in found.warnings:
        print(f"moe-lib: {warning}", file=sys.stderr)
