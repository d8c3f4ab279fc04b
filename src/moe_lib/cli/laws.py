"""`moe-lib fit` and `moe-lib optimum`: a law from anybody's runs, and what a law recommends."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from moe_lib.accounting import Convention
from moe_lib.cli.console import plain_console
from moe_lib.cli.runs import LEDGER


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(fit)
    app.command()(optimum)


def fit(
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file, one row a run.")],
    law: Annotated[
        str,
        typer.Option(
            help="Form: chinchilla, sparsity, sparsity-no-c, chinchilla-active, frantar, "
            "fine-grained, joint-moe, clark or power-law."
        ),
    ],
    columns: Annotated[str | None, typer.Option(help="SYMBOL=COLUMN pairs for N, Na, D, S, G, C, L.")] = None,
    objective: Annotated[str, typer.Option(help="huber:DELTA, lad or mse; the sum over runs.")] = "huber:1e-3",
    raw_loss: Annotated[bool, typer.Option("--raw-loss", help="Residuals of loss instead of log loss.")] = False,
    drop_highest: Annotated[int, typer.Option(min=0, help="Leave out the K runs of highest loss.")] = 0,
    bootstrap: Annotated[int, typer.Option(min=0, help="Refits to resampled runs, for 95 % intervals.")] = 0,
    cluster: Annotated[str | None, typer.Option(help="Column whose equal values are resampled together.")] = None,
    starts: Annotated[str, typer.Option(help="grid, or table2: every exponent cell of the paper's Table 2.")] = "grid",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a scaling law to a table of runs.

    Without a column for D, D = C / (6 N), or C / (6 N_a) where sparsity or active parameters are given.

    Example: `moe-lib fit runs.csv --law chinchilla --columns N=params,C=flops,L=loss --bootstrap 1000`
    """
    from moe_lib.fitting import fit_table
    from moe_lib.tables import read_table

    result = fit_table(
        read_table(file),
        law,
        parse_names(columns),
        objective,
        raw=raw_loss,
        drop_highest=drop_highest,
        resamples=bootstrap,
        cluster=cluster,
        starts=starts,
        workers=os.cpu_count() or 1,
    )
    for note in result.notes:
        print(f"moe-lib: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(result.contract, indent=2, allow_nan=False))
        return
    table = Table("", "value", "95 % interval", title=f"{law}: {result.contract['n']} runs")
    for name, value in result.contract["coefficients"].items():
        ends = result.contract["intervals"].get(name, ())
        text = "not identified" if ends is None else " to ".join(f"{end:.5g}" for end in ends)
        table.add_row(name, f"{value:.6g}", text)
    plain_console().print(table)
    print(
        f"objective {result.contract['objective']:.12g}; {result.contract['agreeing_starts']} of "
        f"{result.contract['starts']} searches agree"
    )


def optimum(
    law: Annotated[
        str,
        typer.Option(
            help="abnar2025, hoffmann2022, besiroglu2024, ludziejewski2025, frantar2024, or "
            "ours: Eq. 6 fitted to the runs of the ledger that the grid of the repository asks for in its blocks "
            "surface, noise and budgets; in a checkout."
        ),
    ],
    flops: Annotated[float, typer.Option(help="Training budget C.")],
    max_params: Annotated[float | None, typer.Option(help="Largest N that fits.")] = None,
    params: Annotated[float | None, typer.Option(help="N, if it is fixed.")] = None,
    sparsity: Annotated[float | None, typer.Option(help="S, if it is fixed; of a law that knows sparsity.")] = None,
    convention: Annotated[str, typer.Option(help="N_a: ideal, one-embedding or two-embeddings.")] = "ideal",
    ledger: Annotated[Path, typer.Option(help="Runs behind the law `ours`.")] = LEDGER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a law recommends for a budget: sparsity, parameters and tokens.

    Example: `moe-lib optimum --law abnar2025 --flops 1e21 --max-params 15e9 --json`
    """
    from moe_lib.analysis.our_law import law_named
    from moe_lib.laws.optimum import optimum as best

    found = best(
        law_named(law, ledger),
        flops,
        n_params=params,
        max_params=max_params,
        sparsity=sparsity,
        convention=cast(Convention, convention),  # checked where it is used
    )
    if as_json:
        print(json.dumps(asdict(found), indent=2, allow_nan=False))
        return
    table = Table("", "", title=f"{law} at C = {flops:.4g}")
    rows = {
        "sparsity S": f"{found.sparsity:.6g}",
        "within 0.01 nats": f"{found.band[0]:.4g} to {found.band[1]:.4g}",
        "parameters N": f"{found.n_params:.4g}",
        "active parameters": f"{found.n_params_active:.4g} ({convention})",
        "tokens D": f"{found.n_tokens:.4g}",
        "loss": f"{found.loss:.4f} nats a token",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    plain_console().print(table)
    for warning in found.warnings:
        print(f"moe-lib: {warning}", file=sys.stderr)


def parse_names(text: str | None) -> dict[str, str]:
    """`N=params,L=loss` as a mapping of symbols to columns."""
    from moe_lib.errors import InputError
    from moe_lib.tables import SYMBOLS

    names: dict[str, str] = {}
    for part in (text or "").split(","):
        symbol, sign, column = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if symbol not in SYMBOLS or not sign or not column:
            raise InputError(f"columns: {part.strip()!r} has to be SYMBOL=COLUMN with one of {', '.join(SYMBOLS)}")
        names[symbol] = column
    return names
