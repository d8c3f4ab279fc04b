"""From a table of runs to a reported fit: validates, fits, resamples, and says what the runs do not identify."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from moe_lib.errors import InputError
from moe_lib.laws.parametric import FORMS, SPARSITY
from moe_lib.laws.solver import Fit, fit
from moe_lib.laws.uncertainty import Resamples, bootstrap, not_identified
from moe_lib.paper import TABLE2, TABLE2_STARTS
from moe_lib.tables import runs_for

FEW_RESAMPLES = 100  # below this a second process costs more than it saves


@dataclass(frozen=True)
class Report:
    """A fit, its resamples if there are any, and sentences about what was dropped and what is not identified."""

    fit: Fit
    resamples: Resamples | None
    unidentified: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def contract(self) -> dict[str, Any]:
        """What `moe-lib fit --json` prints; the interval of a coefficient that is not identified is null."""
        intervals = self.resamples.intervals() if self.resamples else {}
        return {
            "law": self.fit.law.form.name,
            "coefficients": self.fit.coefficients,
            "objective": self.fit.objective,
            "n": self.fit.n,
            "starts": self.fit.starts,
            "agreeing_starts": self.fit.agreeing_starts,
            "intervals": {name: None if name in self.unidentified else ends for name, ends in intervals.items()},
        }


def fit_table(
    table: pd.DataFrame,
    law: str,
    names: Mapping[str, str] | None = None,
    objective: str = "huber:1e-3",
    *,
    raw: bool = False,
    drop_highest: int = 0,
    resamples: int = 0,
    cluster: str | None = None,
    starts: str = "grid",
    workers: int = 1,
) -> Report:
    """Fit the form called `law` to a table; `names` maps symbols (N, D, S, L, ...) to its columns.

    `InputError` names the row and column of what is wrong, or the option.
    """
    if law not in FORMS:
        raise InputError(f"law = {law!r} cannot be fitted; it has to be one of {', '.join(FORMS)}")
    if starts not in ("grid", "table2") or (starts == "table2" and law != SPARSITY.name):
        raise InputError(f"starts = {starts!r} has to be grid, or table2 for the law {SPARSITY.name}")
    if cluster is not None and cluster not in table.columns:
        raise InputError(f"cluster = {cluster!r} is not in the table, which has {', '.join(map(str, table.columns))}")
    if cluster is not None and (empty := table[cluster].isna().to_numpy()).any():
        raise InputError(f"row {int(empty.argmax()) + 1}, column {cluster!r}: is empty and has to hold a label")
    form = FORMS[law]
    runs = runs_for(table, form.inputs, form.target, names, drop_highest)
    fitted = fit(form, runs.columns, objective, raw=raw, grid=TABLE2 if starts == "table2" else None)
    drawn = None
    if resamples:
        labels = None if cluster is None else table.loc[runs.columns.index, cluster]
        drawn = bootstrap(fitted, resamples, cluster=labels, workers=workers if resamples >= FEW_RESAMPLES else 1)
    unidentified = not_identified(fitted, drawn)
    notes = [f"{name} is not identified: {reason}" for name, reason in unidentified.items()]
    if starts == "table2":
        notes.insert(
            0,
            f"the {fitted.cells:,} exponent cells of Table 2 stand for its {TABLE2_STARTS:,} starts: in each the "
            f"linear part is solved by non-negative least squares instead of started from 81 values; the "
            f"best {fitted.starts} were polished",
        )
    if drop_highest:
        notes.insert(0, f"{runs.dropped} rows of highest loss were dropped, {fitted.n} remain")
    return Report(fitted, drawn, unidentified, tuple(notes))
