"""From a table of runs to a reported fit: selects rows, fits, resamples, and says what the runs do not show."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.conditions import rows_where
from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Form, Posynomial, tied
from moe_lib.laws.identification import Known, idle_terms, known_sides
from moe_lib.laws.parametric import FORMS, SPARSITY
from moe_lib.laws.solver import ENOUGH, Bounds, Fit, fit
from moe_lib.laws.text_form import TextForm, parse_form
from moe_lib.laws.uncertainty import Resamples, bootstrap
from moe_lib.laws.validation import compare
from moe_lib.paper import TABLE2, TABLE2_STARTS
from moe_lib.tables import runs_for, symbols_of, without_incomplete

FEW_RESAMPLES = 100  # below this a second process costs more than it saves
Interval = tuple[float | None, float | None] | None


@dataclass(frozen=True)
class Request:
    """What to fit to which rows, and how.

    `names` maps symbols to columns of the table. `where` keeps rows and `hold_out` takes rows out of the fit, to be
    predicted by it; both are conditions. `weights` and `standard_errors` name columns; a run with twice the standard
    error gets a quarter of the weight. `starts` is `grid`, or `table2` for every exponent cell of the paper's Table 2.
    """

    form: Form
    names: Mapping[str, str] = field(default_factory=dict)
    objective: str = "huber:1e-3"
    raw: bool = False
    where: str | None = None
    hold_out: str | None = None
    skip_incomplete: bool = False
    drop_highest: int = 0
    bounds: Bounds = field(default_factory=dict)
    weights: str | None = None
    standard_errors: str | None = None
    starts: str = "grid"
    polishes: int | None = None
    resamples: int = 0
    cluster: str | None = None
    seed: int = 0
    level: float = 0.95
    workers: int = 1


@dataclass(frozen=True)
class Report:
    """A fit, its resamples if there are any, what it identifies of each parameter, and sentences for the user.

    `rows` are the rows of the table that were fitted, and `runs` their columns by symbol; `held_out` is the error on
    rows that were not.
    """

    request: Request
    fit: Fit
    resamples: Resamples | None
    known: Mapping[str, Known]
    notes: tuple[str, ...]
    rows: pd.DataFrame
    runs: pd.DataFrame
    held_out: Mapping[str, float] | None = None

    @property
    def contract(self) -> dict[str, Any]:
        """What `moe-lib fit --json` prints; an interval, or an end of one, that the runs do not identify is null."""
        return {
            "law": self.fit.law.form.name,
            "coefficients": self.fit.coefficients,
            "objective": self.fit.minimum,
            "n": self.fit.n,
            "starts": self.fit.starts,
            "agreeing_starts": self.fit.agreeing_starts,
            "intervals": self.intervals,
        }

    @property
    def intervals(self) -> dict[str, Interval]:
        """Bootstrap intervals of what was searched for: None if the runs identify no side; an open side is None."""
        ends = self.resamples.intervals(self.request.level) if self.resamples else {}
        return {name: open_ended(self.known[name], ends[name]) for name in ends if name in self.known}

    def labels(self, column: str, option: str) -> "pd.Series[Any]":
        """A column of the fitted rows, by symbol or by name; `InputError` names the option."""
        columns = symbols_of(self.rows, self.request.names)
        if column not in columns:
            raise InputError(f"{option} = {column!r} is not in the table, which has {', '.join(columns)}")
        return columns[column]

    def numbers(self, column: str, option: str) -> "pd.Series[float]":
        """A numeric column of the fitted rows."""
        found = pd.to_numeric(self.labels(column, option), errors="coerce")
        if not np.isfinite(found).all():
            raise InputError(f"{option} = {column!r} has to be a column of numbers")
        return found.astype(np.float64)

    def compared(self, names: Iterable[str]) -> pd.DataFrame:
        """Rival forms, by name, beside the fitted one on the same runs."""
        rivals = [form_named(name.strip(), None, {}) for name in names]
        forms = {form.name: form for form in (self.request.form, *rivals)}
        columns = pd.concat(
            [runs_for(self.rows, form.inputs, form.target, self.request.names).columns for form in forms.values()],
            axis=1,
        )
        unique = columns.loc[:, ~columns.columns.duplicated()]
        return compare(
            forms.values(),
            unique,
            self.request.objective,
            seed=self.request.seed,
            raw=self.request.raw,
            weights=_weights(self.rows, self.request),
            bounds={self.request.form.name: self.request.bounds},
        )


def form_named(law: str | None, text: str | None, ties: Mapping[str, str], others: Collection[str] = ()) -> Form:
    """The form of a name or of a text, with some exponents tied; `InputError` unless exactly one is given."""
    if (law is None) == (text is None):
        raise InputError("law and form: give one of the two")
    if text is not None:
        form: Form = parse_form(text, others)
    elif law in FORMS:
        form = FORMS[law]
    else:
        raise InputError(f"law = {law!r} cannot be fitted; it has to be one of {', '.join(FORMS)}")
    if not ties:
        return form
    if isinstance(form, TextForm) or not isinstance(form, Posynomial):
        raise InputError("tie: use one name twice in the form instead")
    return tied(form, ties)


def open_ended(known: Known, ends: tuple[float, float]) -> Interval:
    """An interval without the ends that the runs do not identify."""
    low, high = ends
    return (low if known.low else None, high if known.high else None) if known.low or known.high else None


def fit_table(table: pd.DataFrame, request: Request, progress: Callable[[int], None] | None = None) -> Report:
    """Fit a form to a table as requested; `progress` is called with the number of refits done.

    `InputError` names the wrong row and column, or the option.
    """
    notes: list[str] = []
    form, names, grid = request.form, request.names, _grid_named(request.starts, request.form)
    if not 0 < request.level < 1:
        raise InputError(f"level = {request.level:g} has to be between 0 and 1")
    if request.where is not None:
        kept = rows_where(symbols_of(table, names), request.where)
        notes.append(f"{int(kept.sum())} of {len(table)} rows are {request.where}")
        table = _some(table[kept], "where", request.where)
    if request.skip_incomplete:
        complete, skipped = without_incomplete(table, form.inputs, form.target, names)
        if len(skipped):
            which = ", ".join(str(row + 1) for row in skipped[:5]) + (", ..." if len(skipped) > 5 else "")
            notes.append(f"{len(skipped)} incomplete rows were skipped: {which}")
        table = _some(complete, "skip-incomplete", "on")
    runs = runs_for(table, form.inputs, form.target, names, request.drop_highest)
    if request.drop_highest:
        notes.append(f"{runs.dropped} rows of highest loss were dropped, {len(runs.columns)} remain")
    notes += runs.derived
    table = table.loc[runs.columns.index]
    out = np.zeros(len(table), dtype=bool)
    if request.hold_out is not None:
        out = rows_where(symbols_of(table, names), request.hold_out, "hold-out")
        _some(table[out], "hold-out", request.hold_out)
    rows, columns = table[~out], runs.columns[~out]
    labels = None if request.cluster is None else _labels(rows, request.cluster)
    fitted = fit(
        form,
        columns,
        request.objective,
        raw=request.raw,
        grid=grid,
        bounds=request.bounds,
        weights=_weights(rows, request),
        polishes=request.polishes,
    )
    resamples = None
    if request.resamples:
        workers = request.workers if request.resamples >= FEW_RESAMPLES else 1
        resamples = bootstrap(fitted, request.resamples, request.seed, labels, workers, progress)
        notes += _of_few(request.resamples, request.level)
    known = known_sides(fitted, resamples, request.level)
    if grid is not None:
        notes.insert(0, _table2_note(fitted))
    notes += _of_the_search(fitted)
    notes += [f"the term of {name} adds nothing and was dropped: {name} = 0" for name in sorted(idle_terms(fitted))]
    notes += [_sentence(name, one) for name, one in known.items() if one.reason]
    held_out = _held_out(fitted, resamples, runs.columns[out], request.level) if out.any() else None
    return Report(request, fitted, resamples, known, tuple(notes), rows, columns, held_out)


def _table2_note(fitted: Fit) -> str:
    """How the starts of the paper's Table 2 were covered, for the user."""
    return (
        f"the {fitted.cells:,} exponent cells of Table 2 cover its {TABLE2_STARTS:,} starts: in each the linear part "
        f"is solved by non-negative least squares instead of started from 81 values; {fitted.starts} were polished"
    )


def _grid_named(starts: str, form: Form) -> Mapping[str, tuple[float, ...]] | None:
    """The grid of `--starts`; `InputError` for another name."""
    if starts not in ("grid", "table2") or (starts == "table2" and form is not SPARSITY):
        raise InputError(f"starts = {starts!r} has to be grid, or table2 for the law {SPARSITY.name}")
    return TABLE2 if starts == "table2" else None


def _some(table: pd.DataFrame, option: str, text: str) -> pd.DataFrame:
    if table.empty:
        raise InputError(f"{option} = {text!r} leaves no rows")
    return table


def _labels(rows: pd.DataFrame, column: str) -> "pd.Series[Any]":
    if column not in rows.columns:
        raise InputError(f"cluster = {column!r} is not in the table, which has {', '.join(map(str, rows.columns))}")
    if (empty := rows[column].isna().to_numpy()).any():
        row = rows.index[int(empty.argmax())] + 1
        raise InputError(f"row {row}, column {column!r}: is empty and has to hold a label")
    return rows[column]


def _weights(rows: pd.DataFrame, request: Request) -> Array | None:
    """Weights of mean 1 from a column of weights or of standard errors."""
    if request.weights is not None and request.standard_errors is not None:
        raise InputError("weights cannot be given together with standard-errors; leave one out")
    column = request.weights or request.standard_errors
    if column is None:
        return None
    option = "weights" if request.weights else "standard-errors"
    if column not in rows.columns:
        raise InputError(f"{option} = {column!r} is not in the table, which has {', '.join(map(str, rows.columns))}")
    values = pd.to_numeric(rows[column], errors="coerce").to_numpy(np.float64)
    if not np.all((values > 0) & np.isfinite(values)):
        row = rows.index[int(np.argmin((values > 0) & np.isfinite(values)))] + 1
        raise InputError(f"row {row}, column {column!r}: {option} have to be positive and finite")
    weights = values if request.weights else values**-2
    return np.asarray(weights / weights.mean())


def _held_out(fitted: Fit, resamples: Resamples | None, runs: pd.DataFrame, level: float) -> dict[str, float]:
    """Error of the law on runs that it was not fitted to, in log loss."""
    inputs = {name: runs[name].to_numpy() for name in fitted.law.form.inputs}
    observed = runs[fitted.law.form.target].to_numpy()
    error = np.log(fitted.law.loss(**inputs) / observed)
    found = {"n": len(runs), "rmse": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}
    if resamples is not None:
        low, high = resamples.predict(level, **inputs)
        found["in_interval"] = float(np.mean((low <= observed) & (observed <= high)))
    return found


def _of_few(resamples: int, level: float) -> list[str]:
    """What a user should know about intervals whose ends rest on less than one resample each."""
    needed = int(np.ceil(2 / (1 - level) - 1e-9))
    if resamples >= needed:
        return []
    return [
        f"{resamples} resamples are too few for a {100 * level:g} % interval, which is too narrow by that; ask for "
        f"{needed} at least, and better for 1000, with --bootstrap"
    ]


def _sentence(name: str, known: Known) -> str:
    side = "is known from one side only" if known.low or known.high else "is not identified"
    return f"{name} {side}: {known.reason}"


def _of_the_search(fitted: Fit) -> list[str]:
    """What a user should know about how the optimum was found; nothing if all is well."""
    found = []
    if fitted.agreeing_starts < ENOUGH:
        found.append(
            f"only {fitted.agreeing_starts} of {fitted.starts} searches found the best optimum, so a better one may "
            "exist; ask for more searches with --polishes"
        )
    if not fitted.settled:
        found.append(f"the best search had not settled when it stopped (SciPy: {fitted.status.strip()})")
    return found
