"""From a start to a local minimum of an objective: L-BFGS on analytic gradients in well-conditioned coordinates.

Least absolute deviations have kinks; they are approached through Huber losses of shrinking delta.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from moe_lib.laws.basis import Array, Mask
from moe_lib.laws.objective import Problem

BLAS = ThreadpoolController()
ROUNDS, ITERATIONS = 30, 100  # of a polish; the coordinates are renewed after each round
FLATTEST = 1e-4  # smallest singular value, relative to the largest, that the coordinates still stretch
SETTLED = 1e-13  # relative gain of a round below which the search has ended


class Search(NamedTuple):
    """The end of a search: x `[k + m]`, the objective there, whether another round would gain nothing, and SciPy's
    message about the last round."""

    x: Array
    minimum: float
    settled: bool
    status: str


def one_thread() -> AbstractContextManager[object]:
    """One BLAS thread: on matrices this small more threads are slower, on a busy machine many times slower."""
    limit: AbstractContextManager[object] = BLAS.limit(limits=1, user_api="blas")
    return limit


def polish(problem: Problem, start: Array, free: Mask | None = None) -> Search:
    """Search for a local minimum within the problem's bounds; parameters outside `free` (booleans `[k + m]`) stay."""
    moving = np.ones(len(start), dtype=np.bool_) if free is None else free
    with one_thread():
        if problem.objective.penalty != "lad":
            return _polish(problem, start, moving)
        x = start
        for delta in np.geomspace(1e-2, 1e-7, 11):
            huber = replace(problem.objective, penalty="huber", delta=float(delta))
            found = _polish(replace(problem, objective=huber), x, moving)
            x = found.x
        return found._replace(minimum=problem.value(x))


def _polish(problem: Problem, start: Array, free: Mask) -> Search:
    """L-BFGS in rounds: each begins with a change of coordinates that makes the Gauss-Newton matrix the identity.

    A round sees the objective at x clipped to the bounds. Parameters that reach a bound, and would cross it downhill,
    stay there during the next round.
    """
    low, high = problem.ends
    x = np.clip(start, low, high)
    value, gradient = problem.value_and_gradient(x)
    resting, settled, status = _resting(x, gradient, low, high), False, ""
    for _ in range(ROUNDS):
        moving = free & ~resting
        if not moving.any():
            return Search(x, value, True, "every parameter is fixed or at a bound")
        frame, unit = _frame(problem, x, moving)

        def scaled(z: Array, origin: Array = x, frame: Array = frame, unit: float = unit) -> tuple[float, Array]:
            at = origin + frame @ z
            f, g = problem.value_and_gradient(np.clip(at, low, high))
            return f / unit, (frame.T @ np.where((at < low) | (at > high), 0, g)) / unit

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
        there = np.clip(x + frame @ result.x, low, high)
        after, slope = problem.value_and_gradient(there)
        gain, status = value - after, str(result.message)
        if gain > 0:
            x, value, gradient = there, after, slope
        before, resting = resting, _resting(x, gradient, low, high)
        settled = gain <= SETTLED * value and np.array_equal(before, resting)
        if settled:
            break
    return Search(x, value, settled, status)


def _resting(x: Array, gradient: Array, low: Array, high: Array) -> Mask:
    """Parameters at a bound that a downhill step would cross."""
    return np.asarray(((x <= low) & (gradient >= 0)) | ((x >= high) & (gradient <= 0)))


def _frame(problem: Problem, x: Array, moving: Mask) -> tuple[Array, float]:
    """Matrix from well-conditioned coordinates to parameters, and the unit that makes the objective of order one."""
    curvature = problem.weights * problem.objective.curvature(problem.residuals(x))
    rows = problem.jacobian(x)[:, moving] * np.sqrt(curvature)[:, None]
    _, values, directions = np.linalg.svd(rows, full_matrices=False)
    unit = max(problem.value(x), 1e-300)
    frame = np.zeros((len(x), len(values)))
    frame[moving] = directions.T / np.maximum(values, FLATTEST * values[0]) * np.sqrt(unit)
    return frame, unit
