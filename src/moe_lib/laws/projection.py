"""Starts of searches: cells of an exponent grid, each with its best coefficients, in an order that favours variety.

Given the exponents a law is linear in its coefficients, so every cell is a small non-negative least squares problem on
rows weighted by 1/L (variable projection). The best cells often share one valley, so the order begins with the cells
that no neighbour on the grid improves on, and continues with cells far from those already taken.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np

from moe_lib.laws.basis import Array
from moe_lib.laws.objective import Problem

FLOOR = 1e-4  # share of the loss that a term starts with if least squares put its coefficient at zero
CANDIDATES = 256  # cells of low error from which searches are spread out


def cells_of(axes: Sequence[Sequence[float]]) -> Array:
    """Every combination of values, one axis per exponent, the last varying fastest: `[cells, m]`."""
    return np.array(list(product(*axes)), dtype=np.float64).reshape(-1, len(axes))


def project(problem: Problem, grid: Array) -> tuple[Array, Array]:
    """Starts x `[cells, k + m]` from an exponent grid `[cells, m]`, and their squared errors `[cells]`."""
    starts, errors = [], []
    root = np.sqrt(problem.weights)
    for chunk in np.array_split(grid, -(-len(grid) // 512)):
        logs = np.stack([problem.basis.log_terms(exponents) for exponents in chunk])
        power = 1.0 if problem.outer is None else chunk[:, problem.outer - problem.n_terms, None, None]
        logs = logs - np.log(problem.observed) / power  # relative to the sum that the target requires
        top = logs.max(axis=2, keepdims=True)
        rows = np.exp(logs - top) * root
        coefficients, error = nonnegative_least_squares(rows, root)
        share = coefficients * np.mean(rows, axis=2)
        low = share < FLOOR
        log_coefficients = np.log(np.where(low, FLOOR / np.mean(rows, axis=2), coefficients)) - top[..., 0]
        starts.append(np.concatenate([log_coefficients, chunk], axis=1))
        errors.append(error * np.ravel(power) ** 2)
    return np.concatenate(starts), np.concatenate(errors)


def spread_out(errors: Array, axes: Sequence[Sequence[float]]) -> Iterator[int]:
    """Indices of cells in the order in which searches take them: the best, local minima of the grid, then the rest.

    The rest are the cells of lowest error, each time the one farthest (in steps of the grid) from all taken so far.
    """
    shape = tuple(len(axis) for axis in axes)
    order = np.argsort(errors, kind="stable")
    at = np.stack(np.unravel_index(np.arange(errors.size), shape), axis=1) if shape else np.zeros((1, 0))
    valley = _local_minima(errors.reshape(shape)).ravel()
    first = [int(i) for i in order if valley[i]]
    candidates = [int(i) for i in order[:CANDIDATES]]
    distance = np.full(len(candidates), np.inf)
    for taken in first:
        yield taken
        distance = np.minimum(distance, np.abs(at[candidates] - at[taken]).sum(axis=1))
    while distance.max(initial=0) > 0:
        pick = int(np.argmax(distance))
        yield candidates[pick]
        distance = np.minimum(distance, np.abs(at[candidates] - at[candidates[pick]]).sum(axis=1))


def _local_minima(errors: Array) -> Array:
    """Cells that are lower than every neighbour along an axis; of equal neighbours the first counts as lower."""
    lowest = np.ones(errors.shape, dtype=bool)
    for axis in range(errors.ndim):
        step = np.diff(errors, axis=axis) < 0  # the next cell is lower
        edge = [(0, 0)] * errors.ndim
        edge[axis] = (0, 1)
        lowest &= ~np.pad(step, edge)
        edge[axis] = (1, 0)
        lowest &= np.pad(step, edge, constant_values=True)
    return lowest


def nonnegative_least_squares(rows: Array, target: Array) -> tuple[Array, Array]:
    """Coefficients >= 0 that minimise |rows^T c - target|^2, for many problems at once, and the squared errors.

    `rows` is `[cells, k, n]`, `target` `[n]`. Every support is tried: the optimum is the least squares solution on its
    own support, so the best feasible one is exact.
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
