"""Our own law: Eq. 6 fitted to the isoFLOP surfaces of a ledger."""

from pathlib import Path

from moe_lib.analysis.runs import surface_runs
from moe_lib.errors import InputError
from moe_lib.laws.optimum import has_optimum
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.laws.published import PUBLISHED
from moe_lib.laws.solver import Fit, fit
from moe_lib.ledger import Ledger
from moe_lib.repository import GRID
from moe_lib.tables import runs_for


def law_named(name: str, ledger: Path) -> Law:
    """A published law, or `ours` (see `law_of_ours`); `InputError` for another name."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    if name != "ours":
        printed = ", ".join(printed for printed, law in PUBLISHED.items() if has_optimum(law))
        raise InputError(f"law = {name!r} has to be one of {printed}, ours, or a file of moe-lib fit --out (.json)")
    return law_of_ours(ledger)[0]


def law_of_ours(ledger: Path) -> tuple[Law, Fit]:
    """Eq. 6 fitted to the `surface_runs` of a ledger, as a law and as the fit.

    `InputError` if there are too few runs, or if `surface_runs` raises it.
    """
    table = surface_runs(Ledger(ledger))
    runs = runs_for(table, SPARSITY.inputs).columns
    fitted, seen = fit(SPARSITY, runs), runs.assign(C=table["C"])
    limits = {name: float(seen[name].max()) for name in ("N", "D", "S", "C")}
    least = {name: float(seen[name].min()) for name in ("N", "D", "C")}
    source = f"fit to {fitted.n} runs of {ledger}, those of the surfaces of {GRID.name}"
    return Law(SPARSITY, fitted.law.values, source, limits, least), fitted
