"""`moe-lib fit` and `moe-lib predict`: a law fitted to anybody's runs, and its predictions for other runs."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from moe_lib.cli.console import plain_console
from moe_lib.cli.options import Bar, parse_bounds, parse_names, parse_ties, progress_bar
from moe_lib.cli.output import print_json

if TYPE_CHECKING:
    import pandas as pd

    from moe_lib.fitting import Interval, Report

FORMS_HELP = (
    "Form: chinchilla, sparsity, sparsity-no-c, chinchilla-active, frantar, fine-grained, joint-moe, clark, kaplan, "
    "compute or power-law."
)


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(fit)
    app.command()(predict)


def fit(
    file: Annotated[Path, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file, or - ; one row per run.")],
    law: Annotated[str | None, typer.Option(help=FORMS_HELP)] = None,
    form: Annotated[
        str | None, typer.Option(help="A form of your own, instead of --law: `'e + a/N**alpha + b/D**beta'`.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help='SYMBOL=COLUMN pairs for N, Na, D, S, G, C, L: `N=params,L="loss, nats"`.')
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="huber:DELTA, lad or mse; the sum over runs. `huber:1e-3:0.1` counts runs above the law a tenth: use "
            "it if some were stopped early."
        ),
    ] = "huber:1e-3",
    raw_loss: Annotated[bool, typer.Option("--raw-loss", help="Residuals of loss instead of log loss.")] = False,
    where: Annotated[str | None, typer.Option(help="Rows to use: `'C < 1e21 and S != 0.98'`.")] = None,
    hold_out: Annotated[str | None, typer.Option(help="Rows to predict instead of fitting: `'S == 0.98'`.")] = None,
    skip_incomplete: Annotated[
        bool,
        typer.Option("--skip-incomplete", help="Leave out rows with an empty or impossible number, and list them."),
    ] = False,
    drop_highest: Annotated[
        int, typer.Option(min=0, help="Leave out the K runs of highest loss: `--drop-highest 5`.")
    ] = 0,
    fix: Annotated[str | None, typer.Option(help="Values that are not searched for: `e=1.6,c=0`.")] = None,
    bounds: Annotated[str | None, typer.Option(help="Ranges; an open end is free: `alpha=0:0.5,lambda=:0`.")] = None,
    tie: Annotated[str | None, typer.Option(help="Exponents that are equal: `beta=alpha`.")] = None,
    weights: Annotated[str | None, typer.Option(help="Column of weights: `--weights n_seeds`.")] = None,
    standard_errors: Annotated[
        str | None, typer.Option(help="Column of standard errors, for weights 1/se^2: `--standard-errors se`.")
    ] = None,
    starts: Annotated[str, typer.Option(help="grid, or table2: every exponent cell of the paper's Table 2.")] = "grid",
    polishes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Least number of searches; default: 16 to 64, by the number of runs: `--polishes 200`.",
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, max=100_000, help="Refits to resampled runs, for intervals: `--bootstrap 1000`.")
    ] = 0,
    cluster: Annotated[
        str | None, typer.Option(help="Column whose equal values are resampled together: `--cluster shape`.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples and folds: `--seed 1`.")] = 0,
    level: Annotated[float, typer.Option(help="Level of the intervals: `--level 0.9`.")] = 0.95,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; default: one per processor: `--workers 2`.")
    ] = None,
    leave_out: Annotated[
        str | None, typer.Option(help="Predict each value of a column by a fit to the others: `--leave-out S` or C.")
    ] = None,
    grow: Annotated[
        str | None, typer.Option(help="Fit up to each value of a column, predict above it: `--grow C`.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Rival forms on the same runs, by AIC and cross-validation: `chinchilla,frantar`."),
    ] = None,
    profiles: Annotated[
        bool, typer.Option("--profiles", help="Profile interval of each exponent, and the condition number.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Folder for pictures of the fit: `--plot figures`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Save the fit for predict and optimum: `--out fit.json`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a scaling law to a table of runs.

    Without a column for D, D = C / (6 N_a) if sparsity or active parameters are there, else C / (6 N).

    Example: `moe-lib fit runs.csv --law chinchilla --columns N=params,C=flops,L=loss --bootstrap 1000 --out fit.json`
    """
    from moe_lib.fitting import Request, fit_table, form_named
    from moe_lib.saved_fit import require_own, save_fit
    from moe_lib.table_files import read_table

    if out is not None:
        require_own(out)
    names = parse_names(columns, any_symbol=form is not None)
    ties = parse_ties(tie)
    chosen = form_named(law, form, ties, names)
    request = Request(
        form=chosen,
        names=names,
        objective=objective,
        raw=raw_loss,
        where=where,
        hold_out=hold_out,
        skip_incomplete=skip_incomplete,
        drop_highest=drop_highest,
        bounds=parse_bounds(fix, bounds),
        weights=weights,
        standard_errors=standard_errors,
        starts=starts,
        polishes=polishes,
        resamples=bootstrap,
        cluster=cluster,
        seed=seed,
        level=level,
        workers=workers or os.cpu_count() or 1,
    )
    table = read_table(file)
    with progress_bar(bootstrap) as bar:
        report = fit_table(table, request, bar.resampled)
        checks = _checks(report, leave_out, grow, compare, profiles or plot is not None, bar)
        if plot is not None:
            from moe_lib.figures.fit_report import write_figures

            bar.now("drawing")
            curves = checks["profiles"]
            written = write_figures(plot, report.fit.law, report.resamples, report.runs, curves, level)
    if out is not None:
        save_fit(report, ties, out)
    for note in report.notes:
        print(f"moe-lib: {note}", file=sys.stderr)
    if plot is not None:
        print(f"moe-lib: wrote {', '.join(map(str, written))}", file=sys.stderr)
    if as_json:
        print_json(report.contract | _as_json(report, checks))
    else:
        _show(report, checks)


def _checks(
    report: "Report", leave_out: str | None, grow: str | None, compare: str | None, profiles: bool, bar: Bar
) -> dict[str, Any]:
    """Tables of the checks requested beside the fit, by key of the JSON."""
    from moe_lib.laws import validation
    from moe_lib.laws.profiles import profile

    found: dict[str, Any] = {}
    if leave_out is not None:
        bar.now(f"leaving out each {leave_out}")
        found["left_out"] = validation.leave_out(report.fit, report.labels(leave_out, "leave-out"))
    if grow is not None:
        bar.now(f"growing {grow}")
        found["growing"] = validation.grow(report.fit, report.numbers(grow, "grow"))
    if compare is not None:
        bar.now("comparing forms")
        found["rivals"] = report.compared(compare.split(","))
    if profiles:
        bar.now("profiles")
        free = dict(zip(report.fit.parameters, report.fit.free, strict=True))
        exponents = [name for name in report.fit.law.form.exponents if free[name]]
        found["profiles"] = {name: profile(report.fit, name, level=report.request.level) for name in exponents}
    return found


def _as_json(report: "Report", checks: Mapping[str, Any]) -> dict[str, Any]:
    """The requested checks, which are printed beside the contract."""
    from moe_lib.laws.profiles import interval
    from moe_lib.laws.uncertainty import condition_number

    found: dict[str, Any] = {} if report.held_out is None else {"held_out": dict(report.held_out)}
    found |= {key: checks[key].to_dict("records") for key in ("left_out", "growing", "rivals") if key in checks}
    if "profiles" in checks:
        number = condition_number(report.fit)
        found["profiles"] = {
            name: interval(curve, name, report.request.level) for name, curve in checks["profiles"].items()
        }
        found["condition_number"] = number if number < float("inf") else None
    return found


def _show(report: "Report", checks: Mapping[str, Any]) -> None:
    """Tables for people."""
    level = f"{100 * report.request.level:g} %"
    heads = ("", "value") if report.resamples is None else ("", "value", f"{level} interval")
    table = Table(*heads, title=f"{report.fit.law.form.name}: {report.fit.n} runs")
    for name, value in report.fit.coefficients.items():
        table.add_row(*(name, f"{value:.6g}", _interval(report.intervals.get(name, ())))[: len(heads)])
    console = plain_console()
    console.print(table)
    print(f"objective {report.fit.minimum:.12g}; {report.fit.agreeing_starts} of {report.fit.starts} searches agree")
    if report.held_out is not None:
        inside = report.held_out.get("in_interval")
        print(
            f"held out: {report.held_out['n']:.0f} runs, error {report.held_out['rmse']:.3%}, bias "
            f"{report.held_out['bias']:+.3%}"
            + ("" if inside is None else f", {inside:.0%} inside the {level} interval")
        )
    extra = _as_json(report, checks)
    for key, title in (("left_out", "left out"), ("growing", "fitted up to, predicted at"), ("rivals", "rival forms")):
        if key in extra:
            console.print(_records(extra[key], title))
    if "profiles" in extra:
        table = Table("exponent", f"{level} profile interval", title="profiles")
        for name, ends in extra["profiles"].items():
            table.add_row(name, _interval(ends))
        console.print(table)
        number = extra["condition_number"]
        print(f"condition number {'infinite' if number is None else f'{number:.3g}'} (1 is best, 1e4 a warning)")


def _records(records: list[dict[str, Any]], title: str) -> Table:
    table = Table(*records[0], title=title)
    for record in records:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in record.values()))
    return table


def _interval(ends: "Interval | tuple[()]") -> str:
    if not ends:
        return "not identified" if ends is None else ""
    low, high = ends
    if low is None and high is None:
        return "open on both sides"
    if low is None or high is None:
        return f"at least {low:.5g}" if high is None else f"at most {high:.5g}"
    return f"{low:.5g} to {high:.5g}"


def predict(
    fitted: Annotated[Path, typer.Argument(help="A file of `moe-lib fit --out`.", metavar="FIT.json")],
    file: Annotated[Path, typer.Argument(help="A .csv, .tsv, .jsonl or .parquet file, or - ; one row per prediction.")],
    columns: Annotated[
        str | None, typer.Option(help="SYMBOL=COLUMN pairs; default: those of the fit: `N=size`.")
    ] = None,
    level: Annotated[float | None, typer.Option(help="Level of the intervals; default: that of the fit.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of CSV.")] = False,
) -> None:
    """Predict losses by a saved fit: the inputs, the prediction, and its interval if the fit was resampled.

    If the file has observed losses too, it also prints them with their residuals (log of predicted over observed). The
    interval is that of the law, without the noise of a single run.

    Example: `moe-lib predict fit.json planned.csv > predicted.csv`
    """
    from moe_lib.saved_fit import load_fit, predictions
    from moe_lib.table_files import read_table

    saved = load_fit(fitted)
    names = {**saved.columns, **parse_names(columns, any_symbol=True)}
    table: pd.DataFrame = predictions(saved, read_table(file), names, level)
    if as_json:
        print_json(table.to_dict("records"))
    else:
        table.to_csv(sys.stdout, index=False)
