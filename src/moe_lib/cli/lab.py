"""`moe-lib lab`: the scaling lab from a shell, with its state in one file."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from moe_lib.cli.output import print_json
from moe_lib.cli.runs import OWN_LEDGER

File = Annotated[Path, typer.Argument(help="State of the lab, JSON.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LedgerOption = Annotated[Path, typer.Option(help="Ledger of real runs.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    group = typer.Typer(help="Buy runs with a budget of FLOPs, fit a law, bet on a model ten times as expensive.")
    for command in (start, query, status, bet, cells, real, solution):
        group.command()(command)
    app.add_typer(group, name="lab")


def start(
    file: File,
    student: Annotated[str, typer.Option(help="A name; it seeds the law and the noise.")],
    flops: Annotated[float, typer.Option(help="Budget.")] = 1e20,
) -> None:
    """Open a lab for a student.

    Example: `moe-lib lab start lab.json --student ada`
    """
    from moe_lib.errors import InputError
    from moe_lib.lab import Lab

    if os.path.lexists(file):
        raise InputError(f"{file}: exists already; choose another name or remove it")
    lab = Lab(student, flops, file)
    lab.start()
    print(f"{lab}, state in {file}")


def query(
    file: File,
    params: Annotated[float, typer.Option(help="N, all parameters.")],
    tokens: Annotated[float, typer.Option(help="D, training tokens.")],
    sparsity: Annotated[float, typer.Option(help="S, 0 to 0.98.")] = 0.0,
    rate: Annotated[float, typer.Option(help="Learning rate as a multiple of the lab's rule.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Train one model for 6 N_a D FLOPs; a repeated query costs again and has another seed.

    Example: `moe-lib lab query lab.json --params 2e8 --tokens 1e9 --sparsity 0.9`
    """
    from moe_lib.lab import Lab

    lab = Lab.opened(file)
    answer = lab.query(tokens, params, sparsity, rate)
    _print(_without_nan(asdict(answer)), as_json)


def status(file: File, as_json: Json = False) -> None:
    """Queries with their answers, the budget left, and the target of the bet.

    Example: `moe-lib lab status lab.json --json`
    """
    from moe_lib.lab import Lab

    lab = Lab.opened(file)
    asked = [_without_nan(asdict(one)) for one in lab.queries]
    flops, largest = lab.target if asked else (None, None)
    state = {"student": lab.student, "flops": lab.flops, "spent": lab.spent}
    state |= {"bet_flops": flops, "bet_max_params": largest}
    if not as_json and asked:
        print(lab.table.to_string(index=False, float_format="{:.5g}".format))
    _print(state | ({"queries": asked} if as_json else {}), as_json)


def bet(
    file: File,
    params: Annotated[float, typer.Option(help="N, at most bet_max_params of the status.")],
    sparsity: Annotated[float, typer.Option(help="S.")],
    loss: Annotated[float, typer.Option(help="Predicted loss, nats per token.")],
    as_json: Json = False,
) -> None:
    """Bet, once, on the best model at ten times the FLOPs of the largest query.

    Example: `moe-lib lab bet lab.json --params 1e9 --sparsity 0.9 --loss 2.6`
    """
    from moe_lib.lab import Lab

    score = Lab.opened(file).bet(params, sparsity, loss)
    _print(asdict(score) | {"total": score.total}, as_json)


def cells(file: File, ledger: LedgerOption = OWN_LEDGER, as_json: Json = False) -> None:
    """Real runs that can be bought, without their losses.

    Example: `moe-lib lab cells lab.json`
    """
    from moe_lib.errors import InputError
    from moe_lib.lab import Lab
    from moe_lib.ledger import Ledger

    table = Lab.opened(file).cells(Ledger(ledger))
    if table.empty:
        raise InputError(f"ledger = {ledger}: has no finished run; name another with --ledger")
    print(table.to_json(orient="records") if as_json else table.to_string(index=False))


def real(
    file: File,
    key: Annotated[str, typer.Option(help="Key of a run, see cells.")],
    ledger: LedgerOption = OWN_LEDGER,
    as_json: Json = False,
) -> None:
    """Buy the loss of a real run for the FLOPs that the run cost.

    Example: `moe-lib lab real lab.json --key 0123456789abcdef`
    """
    from moe_lib.lab import Lab
    from moe_lib.ledger import Ledger

    _print({"key": key, "loss": Lab.opened(file).real(key, Ledger(ledger))}, as_json)


def solution(
    student: Annotated[str, typer.Option(help="The student's name.")],
    flops: Annotated[float, typer.Option(help="Budget.")] = 1e20,
    as_json: Json = False,
) -> None:
    """The instructor's solution for a student: the score of a good fit.

    Example: `moe-lib lab solution --student ada`
    """
    from moe_lib.lab import Lab, solve

    lab = Lab(student, flops)
    score = solve(lab)
    _print({"spent": lab.spent, "queries": len(lab.queries)} | asdict(score) | {"total": score.total}, as_json)


def _without_nan(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in answer.items()}


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        text = "diverged" if name == "loss" and value is None else f"{value:.6g}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' ')}: {text}")
