"""Fits a form to runs: exactly and fast, and counts how many searches found the same optimum.

1. `projection`: every cell of the exponent grid becomes a start, with the best coefficients that it allows.
2. `polish`: searches from starts of different valleys minimise the objective itself, over log coefficients and
   exponents together.
3. Searches continue until several have found the best optimum; terms that add nothing there are dropped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Columns, Form, Mask
from moe_lib.laws.objective import Objective, Problem
from moe_lib.laws.parametric import Law
from moe_lib.laws.polish import Search, one_thread, polish
from moe_lib.laws.projection import FLOOR, cells_of, project, spread_out

POLISHES, MOST_POLISHES = 16, 64  # for 300 runs and more, and for few runs, for which a search costs less
ENOUGH, PATIENCE = (
    3,
    4,
)  # searches that have to agree, and the most searches to get there, as a multiple of the polishes asked for
AGREEMENT = 1e-6  # relative difference of minima below which two searches found the same optimum
IDLE = 1e-9  # relative gain below which a term adds nothing
LARGEST_LOG = 690.0  # of a coefficient, either sign: it stays a finite number, and at the low end it is zero
NOTHING = 1e-15  # an objective that is zero up to rounding
REPRODUCED = 1e-6  # relative difference between the objective of the printed law and that of the search

Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Fit:
    """A fitted law and how it was found.

    `minimum` is the `objective` summed over runs; `cells` exponent cells were projected, `starts` of them polished, and
    `agreeing_starts` polishes ended within 1e-6 of the best. `settled` and `status` are those of the best search.
    `x` are the internal parameters, and `columns` the data by symbol.
    """

    law: Law
    minimum: float
    cells: int
    starts: int
    agreeing_starts: int
    settled: bool
    status: str
    x: Array = field(repr=False)
    problem: Problem = field(repr=False)
    columns: Mapping[str, Array] = field(repr=False)

    @property
    def objective(self) -> Objective:
        """What was minimised."""
        return self.problem.objective

    @property
    def n(self) -> int:
        """Number of runs."""
        return self.problem.n

    @property
    def coefficients(self) -> dict[str, float]:
        """Coefficients and exponents by their names in print."""
        return dict(self.law.values)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the internal parameters."""
        return self.law.form.coefficients + self.law.form.exponents

    @property
    def free(self) -> Mask:
        """Which of the internal parameters were searched for, booleans `[k + m]`; the others were fixed."""
        low, high = self.problem.ends
        return np.asarray(low < high)

    @property
    def freedom(self) -> int:
        """Degrees of freedom: runs minus parameters searched for."""
        return self.n - int(self.free.sum())

    @property
    def residuals(self) -> Array:
        """Predicted minus observed, of log loss (or of loss for a raw objective), one per run."""
        return self.problem.residuals(self.x)


def fit(
    form: Form,
    columns: Columns,
    objective: str = "huber:1e-3",
    *,
    raw: bool = False,
    grid: Mapping[str, tuple[float, ...]] | None = None,
    bounds: Bounds | None = None,
    weights: Array | None = None,
    polishes: int | None = None,
) -> Fit:
    """Fit `form` to runs: columns of its inputs and its target (L in nats per token), validated beforehand.

    `objective` is summed over runs, on log loss unless `raw`; `grid` replaces the form's own grid of exponents, and
    `bounds` the range of single coefficients or exponents (equal ends fix one). `weights` multiply each run's share of
    the objective. At least `polishes` searches are made, by default 16 for 300 runs and up to 64 for fewer, and more
    while fewer than three agree on the best. Raises `InputError` for fewer than two runs more than coefficients, and if
    the best law leaves floating point.
    """
    data = {name: np.asarray(columns[name], dtype=np.float64) for name in (*form.inputs, form.target)}
    problem = make_problem(form, data, Objective.parse(objective, raw), bounds, weights)
    low, high = problem.ends
    needed = int(np.sum(low < high)) + 2
    if problem.n < needed:
        raise InputError(
            f"{form.name} has {needed - 2} coefficients and needs at least {needed} runs, but there are {problem.n}"
        )
    k = len(form.coefficients)
    axes = [_within((grid or form.grid)[name], low[k + i], high[k + i]) for i, name in enumerate(form.exponents)]
    fewest = polishes or int(np.clip(POLISHES * 300 / problem.n, POLISHES, MOST_POLISHES))
    try:
        with one_thread():
            starts, errors = project(problem, cells_of(axes))
        found = search(problem, (starts[i] for i in spread_out(errors, axes)), fewest)
    except np.linalg.LinAlgError as error:
        raise InputError(
            f"{form.name}: its terms leave the range of floating-point numbers on these runs ({error}); narrow bounds"
        ) from None
    minima = np.array([one.minimum for one in found])
    best = without_idle_terms(problem, found[int(np.argmin(minima))])
    law = law_at(form, best.x, f"fit to {problem.n} runs")
    check_reproduced(law, data, problem, best.minimum)
    return Fit(
        law=law,
        minimum=best.minimum,
        cells=len(starts),
        starts=len(found),
        agreeing_starts=agreeing(minima),
        settled=best.settled,
        status=best.status,
        x=best.x,
        problem=problem,
        columns=data,
    )


def search(problem: Problem, starts: Iterator[Array], fewest: int) -> list[Search]:
    """Polishes of `fewest` starts, and of more while fewer than three agree on the best."""
    found: list[Search] = []
    for start in starts:
        found.append(polish(problem, start))
        enough = agreeing(np.array([one.minimum for one in found])) >= ENOUGH
        if len(found) >= (fewest if enough else PATIENCE * fewest):
            break
    return found


def agreeing(minima: Array) -> int:
    """How many minima equal the lowest one up to rounding."""
    return int(np.sum(minima <= minima.min() * (1 + AGREEMENT) + NOTHING))


def without_idle_terms(problem: Problem, found: Search) -> Search:
    """The same optimum with coefficients of zero for terms that can be dropped without loss."""
    low = problem.ends[0]
    terms = problem.terms(found.x)
    share = (terms / terms.sum(axis=0)).max(axis=1)
    for k in np.flatnonzero((share < FLOOR) & (low[: problem.n_terms] <= -LARGEST_LOG)):
        fixed = np.array(problem.ends)
        fixed[1, k] = -LARGEST_LOG
        other = polish(replace(problem, bounds=fixed), found.x)
        if other.minimum <= found.minimum * (1 + IDLE) + NOTHING:
            found = other
    return found


def check_reproduced(law: Law, columns: Columns, problem: Problem, minimum: float) -> None:
    """Raise `InputError` unless the returned law has the objective that the search found."""
    with np.errstate(all="ignore"):
        predicted = law.loss(**{name: columns[name] for name in law.form.inputs})
        residuals = problem.residuals_of(predicted)
        printed = float(problem.weights @ problem.objective.rho(residuals))
    if not abs(printed - minimum) <= REPRODUCED * minimum + NOTHING:
        raise InputError(
            f"{law.form.name}: the coefficients of the best fit leave the range of floating-point numbers, so that "
            f"they would not reproduce its objective ({minimum:.6g}); narrow the bounds of its exponents"
        )


def refit(fitted: Fit, weights: Array) -> Array:
    """Internal parameters of the same fit with other weights of its runs (0 leaves a run out).

    The search starts at the fit's optimum, and, if that has lost a term, once more with the term restored.
    """
    problem = replace(fitted.problem, weights=weights * fitted.problem.weights)
    found = [polish(problem, start) for start in (fitted.x, *revived(problem, fitted.x))]
    return min(found, key=lambda one: one.minimum).x


def revived(problem: Problem, x: Array) -> list[Array]:
    """x with its vanished terms raised to a hundredth of the sum; empty if no term has vanished."""
    k = problem.n_terms
    base = np.median(problem.basis.log_terms(x[k:]) - np.log(problem.terms(x).sum(axis=0)), axis=1)
    vanished = (x[:k] + base < np.log(FLOOR)) & (problem.ends[1][:k] > -LARGEST_LOG)
    raised = np.concatenate([np.where(vanished, np.log(0.01) - base, x[:k]), x[k:]])
    return [raised] if vanished.any() else []


def law_at(form: Form, x: Array, source: str = "") -> Law:
    """The law of internal parameters x."""
    k = len(form.coefficients)
    coefficients = np.where(x[:k] <= -LARGEST_LOG, 0.0, np.exp(np.clip(x[:k], -LARGEST_LOG, LARGEST_LOG)))
    return Law(form, form.named(coefficients, x[k:]), source)


def make_problem(
    form: Form,
    columns: Columns,
    objective: Objective,
    bounds: Bounds | None = None,
    weights: Array | None = None,
) -> Problem:
    """Bind a form to runs, each with weight 1 unless `weights` are given, within the form's own bounds or others."""
    observed = np.asarray(columns[form.target], dtype=np.float64)
    return Problem(
        form.bind(columns),
        len(form.coefficients),
        observed,
        np.ones_like(observed) if weights is None else np.asarray(weights, dtype=np.float64),
        objective,
        bounds_of(form, bounds or {}),
        None if form.outer is None else len(form.coefficients) + form.exponents.index(form.outer),
    )


def bounds_of(form: Form, bounds: Bounds) -> Array:
    """Ends of the search `[2, k + m]`: of log coefficients, then of exponents; `InputError` for a wrong one."""
    names = form.coefficients + form.exponents
    for name, (low, high) in bounds.items():
        option, shown = ("fix", f"{low:g}") if low == high else ("bounds", f"{low:g}:{high:g}")
        if name not in names:
            raise InputError(f"{option}: {name!r} has to be one of {', '.join(names)}")
        if low > high:
            raise InputError(f"{option}: {name} = {shown} is empty")
        if name in form.coefficients and high < 0:
            raise InputError(f"{option}: {name} = {shown} has to reach 0 or more, since coefficients are not negative")
    ranges = {**dict.fromkeys(form.coefficients, (0.0, np.inf)), **form.bounds, **bounds}
    ends = np.array([ranges[name] for name in names], dtype=np.float64).reshape(-1, 2).T
    k = len(form.coefficients)
    with np.errstate(divide="ignore"):
        ends[:, :k] = np.clip(np.log(np.maximum(ends[:, :k], 0)), -LARGEST_LOG, LARGEST_LOG)
    return ends


def _within(axis: tuple[float, ...], low: float, high: float) -> tuple[float, ...]:
    return tuple(sorted({float(np.clip(value, low, high)) for value in axis}))
