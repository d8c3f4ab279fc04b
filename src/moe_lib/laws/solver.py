"""Fits a form to runs: exactly, fast, and with a count of how many searches found the same optimum.

1. Variable projection: given the exponents a law is linear in its coefficients, so that every cell of the exponent
   grid is a small non-negative least squares problem on rows weighted by 1/L.
2. The best cells are polished by L-BFGS with analytic gradients on the objective itself, over log coefficients and
   exponents together, in coordinates in which the problem is round.

Least absolute deviations have kinks; they are approached through Huber losses of shrinking delta.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import combinations, product

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, Columns, Form
from moe_lib.laws.objective import Objective, Problem
from moe_lib.laws.parametric import Law

BLAS = ThreadpoolController()
POLISHES = 16
AGREEMENT = 1e-6  # relative difference of objectives below which two searches found the same optimum
FLOOR = 1e-4  # share of the loss that a term starts with where least squares put its coefficient to zero
ROUNDS, ITERATIONS = 30, 100  # of a polish; the coordinates are made round again after each round
FLATTEST = 1e-4  # smallest singular value, relative to the largest, that the round coordinates still stretch
LARGEST_LOG = 690.0  # of a coefficient that comes out: it stays a finite number
NOTHING = 1e-15  # an objective that is zero but for rounding


@dataclass(frozen=True)
class Fit:
    """A fitted law and how it was found.

    `objective` is the sum over the `n` runs; `cells` exponent cells were projected, `starts` of them polished, and
    `agreeing_starts` polishes ended within 1e-6 of the best objective. `x` are the internal parameters.
    """

    law: Law
    objective: float
    kind: Objective
    n: int
    cells: int
    starts: int
    agreeing_starts: int
    x: Array = field(repr=False)
    columns: Mapping[str, Array] = field(repr=False)

    @property
    def coefficients(self) -> dict[str, float]:
        """Coefficients and exponents by their names in print."""
        return dict(self.law.values)

    @property
    def problem(self) -> Problem:
        """The problem that was solved."""
        return make_problem(self.law.form, self.columns, self.kind)

    @property
    def residuals(self) -> Array:
        """Predicted minus observed, of log loss (or of loss for a raw objective), a run each."""
        return self.problem.residuals(self.x)


def fit(
    form: Form,
    columns: Columns,
    objective: str = "huber:1e-3",
    *,
    raw: bool = False,
    grid: Mapping[str, tuple[float, ...]] | None = None,
    polishes: int = POLISHES,
) -> Fit:
    """Fit `form` to runs: columns of its inputs and its target (L in nats a token), validated beforehand.

    `objective` is summed over runs, on log loss unless `raw`; `grid` replaces the form's own grid of exponents.
    Raises `InputError` where there are fewer runs than coefficients.
    """
    data = {name: np.asarray(columns[name], dtype=np.float64) for name in (*form.inputs, form.target)}
    problem = make_problem(form, data, Objective.parse(objective, raw))
    size = len(form.coefficients) + len(form.exponents)
    if len(problem.observed) < size:
        raise InputError(f"{form.name} has {size} coefficients and needs at least {size} runs, here are {problem.n}")
    exponents = np.array(list(product(*((grid or form.grid)[name] for name in form.exponents))))
    with one_thread():
        starts = project(problem, exponents)[:polishes]
    found = [polish(problem, start) for start in starts]
    values = np.array([problem.value(x) for x in found])
    best = found[int(np.argmin(values))]
    return Fit(
        law=law_at(form, best, f"fit to {problem.n} runs"),
        objective=float(values.min()),
        kind=problem.objective,
        n=problem.n,
        cells=len(exponents),
        starts=len(found),
        agreeing_starts=int(np.sum(values <= values.min() * (1 + AGREEMENT) + NOTHING)),
        x=best,
        columns=data,
    )


def refit(fitted: Fit, weights: Array) -> Array:
    """Internal parameters of the same fit with other weights of its runs (0 leaves a run out).

    The search starts at the fit's optimum, and where that had lost a term once more with the term brought back.
    """
    problem = replace(fitted.problem, weights=weights)
    found = [polish(problem, start) for start in (fitted.x, *revived(problem, fitted.x))]
    return min(found, key=problem.value)


def revived(problem: Problem, x: Array) -> list[Array]:
    """x with its vanished terms raised to a hundredth of the target; empty where no term had vanished."""
    size = np.median(problem.terms(x) / problem.observed, axis=1)
    vanished = size < FLOOR
    raised = x.copy()
    raised[: problem.n_terms] += np.where(vanished, np.log(0.01 / np.maximum(size, 1e-300)), 0)
    return [raised] if vanished.any() else []


def law_at(form: Form, x: Array, source: str = "") -> Law:
    """The law of internal parameters x."""
    k = len(form.coefficients)
    return Law(form, form.named(np.exp(np.clip(x[:k], -LARGEST_LOG, LARGEST_LOG)), x[k:]), source)


def make_problem(form: Form, columns: Columns, kind: Objective) -> Problem:
    """Bind a form to runs, each with weight 1."""
    observed = np.asarray(columns[form.target], dtype=np.float64)
    return Problem(form.bind(columns), len(form.coefficients), observed, np.ones_like(observed), kind)


def project(problem: Problem, grid: Array) -> list[Array]:
    """Starts x from the cells of an exponent grid `[cells, m]`, best least squares first."""
    found: list[tuple[float, Array]] = []
    root = np.sqrt(problem.weights)
    for chunk in np.array_split(grid, -(-len(grid) // 512)):
        logs = np.stack([problem.basis.log_terms(exponents) for exponents in chunk])
        top = logs.max(axis=2, keepdims=True)
        rows = np.exp(logs - top) * (root / problem.observed)
        coefficients, error = nonnegative_least_squares(rows, root)
        share = coefficients * np.mean(rows, axis=2)
        low = share < FLOOR
        log_coefficients = np.log(np.where(low, FLOOR / np.mean(rows, axis=2), coefficients)) - top[..., 0]
        found += [(e, np.concatenate([c, x])) for e, c, x in zip(error, log_coefficients, chunk, strict=True)]
    found.sort(key=lambda pair: pair[0])
    return [x for _, x in found]


def nonnegative_least_squares(rows: Array, target: Array) -> tuple[Array, Array]:
    """Coefficients >= 0 that minimise |rows^T c - target|^2, for many problems at once, and the squared errors.

    `rows` is `[cells, k, n]`, `target` `[n]`. With k <= 5 every support is tried: the optimum is the least squares
    solution on its own support, so that the best feasible one is exact.
    """
    cells, k, _ = rows.shape
    gram = np.einsum("ckn,cjn->ckj", rows, rows, optimize=True)
    moment = rows @ target
    scale = np.sqrt(np.einsum("ckk->ck", gram))
    gram, moment = gram / (scale[:, :, None] * scale[:, None, :]), moment / scale
    best, coefficients = np.full(cells, np.inf), np.zeros((cells, k))
    for support in _supports(k):
        part = np.ix_(range(cells), support, support)
        ridge = 1e-12 * np.eye(len(support))
        solution = np.linalg.solve(gram[part] + ridge, moment[:, support, None])[..., 0]
        error = target @ target - np.einsum("ck,ck->c", solution, moment[:, support])
        better = np.all(solution >= 0, axis=1) & (error < best)
        best[better] = error[better]
        coefficients[better] = 0
        coefficients[np.ix_(better, support)] = solution[better]
    return coefficients / scale, best


def _supports(k: int) -> Iterator[tuple[int, ...]]:
    for size in range(1, k + 1):
        yield from combinations(range(k), size)


def one_thread() -> AbstractContextManager[object]:
    """One BLAS thread: on matrices this small more of them take longer, on a busy machine many times longer."""
    limit: AbstractContextManager[object] = BLAS.limit(limits=1, user_api="blas")
    return limit


def polish(problem: Problem, start: Array, free: Array | None = None) -> Array:
    """Local minimum of the objective from a start; parameters outside `free` (booleans `[k + m]`) stay."""
    with one_thread():
        if problem.objective.kind != "lad":
            return _polish(problem, start, free)
        x = start
        for delta in np.geomspace(1e-2, 1e-7, 11):
            huber = replace(problem.objective, kind="huber", delta=float(delta))
            x = _polish(replace(problem, objective=huber), x, free)
        return x


def _polish(problem: Problem, start: Array, free: Array | None) -> Array:
    """L-BFGS in rounds: each begins with a change of coordinates that makes the Gauss-Newton matrix the identity."""
    moving = np.ones(len(start), dtype=bool) if free is None else free
    x, value = start, problem.value(start)
    for _ in range(ROUNDS):
        frame, unit = _frame(problem, x, moving)

        def scaled(z: Array, origin: Array = x, frame: Array = frame, unit: float = unit) -> tuple[float, Array]:
            f, g = problem.value_and_gradient(origin + frame @ z)
            return f / unit, (frame.T @ g) / unit

        result = minimize(
            scaled,
            np.zeros(frame.shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": ITERATIONS,
                "maxfun": 2 * ITERATIONS,
                "maxcor": 30,
                "ftol": 1e-15,
                "gtol": 1e-10,
                "maxls": 40,
            },
        )
        after = problem.value(x + frame @ result.x)
        if after < value:
            x = x + frame @ result.x
        if value - after <= 1e-13 * value:
            break
        value = min(after, value)
    return x


def _frame(problem: Problem, x: Array, moving: Array) -> tuple[Array, float]:
    """Matrix from round coordinates to parameters, and the unit in which the objective is of order one."""
    residuals = np.abs(problem.residuals(x))
    kind = problem.objective
    curvature = problem.weights * (
        np.minimum(1, kind.delta / np.maximum(residuals, 1e-300)) if kind.kind == "huber" else 2
    )
    rows = problem.jacobian(x)[:, moving] * np.sqrt(curvature)[:, None]
    _, values, directions = np.linalg.svd(rows, full_matrices=False)
    unit = max(problem.value(x), 1e-300)
    frame = np.zeros((len(x), len(values)))
    frame[moving] = directions.T / np.maximum(values, FLATTEST * values[0]) * np.sqrt(unit)
    return frame, unit
