"""`moe-lib plan`: what to train with a budget, within bounds, by one law or several side by side."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from moe_lib.accounting import Convention
from moe_lib.cli.console import plain_console
from moe_lib.cli.output import print_json
from moe_lib.cli.runs import OWN_LEDGER
from moe_lib.errors import InputError

if TYPE_CHECKING:
    from moe_lib.planner import Demand, Family, Hardware, Plan
    from moe_lib.planner.plan import Bound


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(plan)


def plan(
    flops: Annotated[float, typer.Option(help="C, FLOPs for training, and for serving if serving-tokens are given.")],
    max_params: Annotated[float | None, typer.Option(help="Largest N.")] = None,
    max_bytes: Annotated[
        float | None, typer.Option(help="Memory for all N parameters, in place of max-params.")
    ] = None,
    bytes_per_param: Annotated[
        float | None, typer.Option(help="Bytes per parameter: 16 to train (default), 2 to serve in bfloat16.")
    ] = None,
    max_tokens: Annotated[float | None, typer.Option(help="Largest D, such as the size of a corpus.")] = None,
    serving_tokens: Annotated[float, typer.Option(help="T, tokens to serve: 6 N_a D + 2 N_a T is at most C.")] = 0.0,
    max_sparsity: Annotated[float | None, typer.Option(help="Sparsest model; default: end of the law's data.")] = None,
    law: Annotated[
        list[str] | None,
        typer.Option(help="abnar2025 (default), hoffmann2022, besiroglu2024, ludziejewski2025, frantar2024, ours."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Shapes to build: paper, or ours (default for the law ours): small models.")
    ] = None,
    convention: Annotated[
        str | None, typer.Option(help="N_a: ideal, one-embedding or two-embeddings; default: as built.")
    ] = None,
    utilisation: Annotated[float, typer.Option(help="Share of the peak that training reaches.")] = 0.35,
    peak_flops: Annotated[float, typer.Option(help="Peak FLOP/s of one GPU; default: H100, dense bfloat16.")] = 989e12,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples for intervals of the law ours.")] = 0,
    ledger: Annotated[Path, typer.Option(help="Runs behind the law ours.")] = OWN_LEDGER,
    write: Annotated[Path | None, typer.Option(help="Write the run of the planned model, for moe-lib train.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Corpus of that run; default: the family's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Plan what to train: sparsity, experts, size and tokens, the range within 0.01 nats, and each bound's cost.

    Memory counts ALL parameters, not only the active ones. With serving tokens, C pays for training and serving.

    Example: `moe-lib plan --flops 1e21 --max-bytes 80e9 --law abnar2025 --law besiroglu2024`
    """
    from moe_lib.planner import Demand, Hardware, run_config, write_run
    from moe_lib.planner.demand import TRAINING_BYTES

    names = list(dict.fromkeys(law or ["abnar2025"]))
    if bytes_per_param is not None and max_bytes is None:
        raise InputError("bytes-per-param needs max-bytes; give both or neither")
    if write is not None and len(names) > 1:
        raise InputError(f"write takes the plan of one law, not of {len(names)}: {', '.join(names)}")
    if write is not None and (write.exists() or write.is_symlink()):
        raise InputError(f"{write}: exists already; choose another name or remove it")
    bytes_each = TRAINING_BYTES if bytes_per_param is None else bytes_per_param
    demand = Demand(flops, max_params, max_bytes, bytes_each, max_tokens, serving_tokens, max_sparsity)
    found = _plans(names, demand, family, convention, Hardware(peak_flops, utilisation), bootstrap, ledger)
    if write is not None:
        [(planned, shapes)] = found
        asked = ", ".join(f"{name} = {value:g}" for name, value in demand.bounds().items())
        comment = (
            f"planned by the law {planned.law} for {asked}; loss by the law {planned.built.loss:.4f} nats per token"
        )
        write_run(run_config(planned.built, shapes, corpus), write, comment)
    if as_json:
        result = {"demand": demand.bounds(), "plans": [planned.contract for planned, _ in found]}
        print_json(result)
    else:
        _show([planned for planned, _ in found])
    if write is not None:
        print(f"moe-lib: run written to {write}", file=sys.stderr)


def _plans(
    names: list[str],
    demand: "Demand",
    family: str | None,
    convention: str | None,
    hardware: "Hardware",
    resamples: int,
    ledger: Path,
) -> "list[tuple[Plan, Family]]":
    from moe_lib.analysis.our_law import law_named, law_of_ours
    from moe_lib.laws.uncertainty import bootstrap
    from moe_lib.planner import FAMILIES
    from moe_lib.planner import plan as make

    if family is not None and family not in FAMILIES:
        raise InputError(f"family = {family!r} has to be one of {', '.join(FAMILIES)}")
    found = []
    for name in names:
        shapes, refits = FAMILIES[family or ("ours" if name == "ours" else "paper")], []
        if name == "ours" and resamples:
            law, fitted = law_of_ours(ledger)
            refits = bootstrap(fitted, resamples).laws
        else:
            law = law_named(name, ledger)
        planned = make(name, law, demand, shapes, cast("Convention | None", convention), hardware, refits)
        found.append((planned, shapes))
    return found


def _show(plans: "list[Plan]") -> None:
    table = Table("", *(one.law for one in plans), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for section in zip(*map(_rows, plans), strict=True):
        table.add_section()
        for rows in zip(*section, strict=True):
            if any(text for _, text in rows):
                table.add_row(rows[0][0], *(text for _, text in rows))
    plain_console().print(table)
    for one in plans:
        print(f"{one.law}: {one.source}; N_a is {one.convention}")
        for bound in one.bounds:
            print(f"{one.law}: {bound.name.replace('_', '-')} = {bound.value:.4g} {_cost(bound)}")
        for sentence in (*one.outside, *one.warnings):
            print(f"{one.law}: {sentence}")
        if one.intervals is None:
            why = "--bootstrap 200 gives them" if one.law == "ours" else "its source prints no joint uncertainty"
            print(f"{one.law}: no intervals; {why}")
    if len(plans) > 1:
        print("the laws are fitted to different texts and tokenizers: compare their models, not their losses")


def _rows(one: "Plan") -> list[list[tuple[str, str]]]:
    """Sections of the table: the law's optimum, and the model to build."""
    built, shape, intervals = one.built, one.built.model, one.intervals or {}

    def ends(pair: tuple[float, float] | None) -> str:
        return "" if pair is None else "{:.4g} to {:.4g}".format(*pair)

    optimum = [
        ("best sparsity S", f"{one.sparsity:.4g}" + (" (edge)" if one.at_edge else "")),
        ("  within 0.01 nats", ends(one.band["sparsity"])),
        ("  95 % interval", ends(intervals.get("sparsity"))),
        ("best size N", f"{one.n_params:.4g}"),
        ("  within 0.01 nats", ends(one.band["n_params"])),
        ("  95 % interval", ends(intervals.get("n_params"))),
        ("active size N_a", f"{one.n_params_active:.4g}"),
        ("tokens D", f"{one.n_tokens:.4g}"),
        ("loss (nats per token)", f"{one.loss:.4f}"),
        ("  95 % interval", ends(intervals.get("loss"))),
        ("FLOPs to train", f"{one.training_flops:.3g}"),
        ("FLOPs to serve", f"{one.serving_flops:.3g}" if one.serving_flops else ""),
    ]
    model = [
        ("model to build", f"d {shape.d_model} x {shape.n_layers}, {shape.n_heads} heads"),
        ("  experts E, K, G", f"{shape.n_experts}, {shape.n_experts_active}, {shape.granularity}"),
        ("  sparsity S", f"{shape.sparsity:.4g}"),
        ("  N, N_a", f"{built.n_params:.4g}, {built.n_params_active:.4g}"),
        ("  tokens D", f"{built.n_tokens:.4g}"),
        ("  loss (nats per token)", f"{built.loss:.4f}"),
        ("  weights, bfloat16", f"{one.memory_bytes['weights'] / 1e9:.3g} GB"),
        ("  with gradients, Adam", f"{one.memory_bytes['training'] / 1e9:.3g} GB"),
        ("  all-to-all per token", f"{one.all_to_all_bytes_per_token['forward'] / 1e3:.4g} kB forward"),
        ("  GPU-hours to train", f"{one.gpu_hours:.3g}"),
    ]
    return [optimum, model]


def _cost(bound: "Bound") -> str:
    if not bound.binds:
        return "does not bind"
    change = {"max_sparsity": "a tenth less of 1 - S", "serving_tokens": "a tenth less"}.get(bound.name, "a tenth more")
    return f"binds; {change} is worth {bound.worth:.2g} nats"
