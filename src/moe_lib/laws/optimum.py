"""A law's optimum: the best size, sparsity and tokens for a budget, and how little its neighbours lose.

Eqs. 2 to 4: at fixed S, at fixed N, and both free, with D = C / (6 N_a). All searches run in log N and
-log(1-S) on a grid that is then refined, so the result does not depend on a start.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lib.accounting import CONVENTIONS, Convention
from moe_lib.errors import InputError
from moe_lib.laws.basis import Array
from moe_lib.laws.parametric import Law
from moe_lib.laws.shapes import active_params

SMALLEST, LARGEST = 1e5, 1e18  # parameters searched
MOST_FLOPS = 1e60  # D stays within what tables may hold
SPARSEST = -np.log(1e-9)  # -log(1-S) searched, up to one active expert in a billion
TINY = 1e4  # active parameters; smaller models are not language models
NEAR = 1e-6  # relative distance within which a value is at a limit
INDIFFERENCE = 0.01  # nats per token


@dataclass(frozen=True)
class Optimum:
    """A model that a law recommends; counts as floats, loss in nats per token.

    `band` is the range of sparsity that stays within 0.01 nats of the optimum (its size free to follow unless it was
    fixed); `warnings` says how the law is used outside its data.
    """

    sparsity: float
    n_params: float
    n_params_active: float
    n_tokens: float
    loss: float
    band: tuple[float, float]
    warnings: tuple[str, ...] = ()


def has_optimum(law: Law) -> bool:
    """Whether a budget has an optimum under a law: its inputs are among N, D and S, and D is one."""
    return "D" in law.form.inputs and set(law.form.inputs) <= {"N", "Na", "D", "S"}


@dataclass(frozen=True)
class Budget:
    """A law at a training budget of `flops`, under one convention of N_a."""

    law: Law
    flops: float
    convention: Convention = "ideal"

    def __post_init__(self) -> None:
        if not 0 < self.flops <= MOST_FLOPS:
            raise InputError(f"flops = {self.flops:g} has to be positive and at most {MOST_FLOPS:g}")
        if self.convention not in CONVENTIONS:
            raise InputError(f"convention = {self.convention!r} has to be one of {', '.join(CONVENTIONS)}")
        if not has_optimum(self.law):
            raise InputError(f"law = {self.law.form.name} has no optimum of a budget: it has to be a law in N, D and S")

    @property
    def sparse(self) -> bool:
        """Whether the law depends on sparsity."""
        return bool({"S", "Na"} & set(self.law.form.inputs))

    def active(self, n_params: Any, sparsity: Any) -> Array:
        """N_a; a law of dense models has all parameters active."""
        return active_params(n_params, sparsity, self.convention) if self.sparse else np.asarray(n_params)

    def tokens(self, n_params: Any, sparsity: Any) -> Array:
        """D = C / (6 N_a)."""
        return np.asarray(self.flops / (6 * self.active(n_params, sparsity)))

    def loss(self, n_params: Any, sparsity: Any) -> Array:
        """Predicted loss if the whole budget is spent."""
        n, s = np.broadcast_arrays(np.asarray(n_params, dtype=np.float64), np.asarray(sparsity, dtype=np.float64))
        columns = {"N": n, "S": s, "Na": self.active(n, s), "D": self.tokens(n, s)}
        return self.law.loss(**{name: columns[name] for name in self.law.form.inputs})

    def best_size(self, sparsity: Any, max_params: float = LARGEST) -> Array:
        """N*(S, C), Eq. 3, under an upper bound on N; broadcasts over sparsity."""
        s = np.asarray(sparsity, dtype=np.float64)
        low, high = np.log(SMALLEST), np.log(max_params)
        return np.exp(minimise(lambda n: self.loss(np.exp(n), s[..., None]), low, high, s.shape))

    def best_sparsity(self, n_params: Any) -> Array:
        """S*(N, C), Eq. 4, in [0, 1 - 1e-9]; 0 for a law of dense models; broadcasts over size."""
        n = np.asarray(n_params, dtype=np.float64)
        if not self.sparse:
            return np.zeros(n.shape)
        s = minimise(lambda hidden: self.loss(n[..., None], -np.expm1(-hidden)), 0.0, SPARSEST, n.shape)
        return np.asarray(-np.expm1(-s))

    def best(self, max_params: float = LARGEST) -> tuple[float, float]:
        """(N*, S*), Eq. 2, under an upper bound on N."""
        if not self.sparse:
            return float(self.best_size(0.0, max_params)), 0.0

        def profile(hidden: Array) -> Array:
            s = -np.expm1(-hidden)
            return self.loss(self.best_size(s, max_params), s)

        s = float(-np.expm1(-minimise(profile, 0.0, SPARSEST, ())))
        return float(self.best_size(s, max_params)), s


def minimise(f: Callable[[Array], Array], low: float, high: float, shape: tuple[int, ...]) -> Array:
    """Argument of the smallest f on [low, high], for each entry of `shape`; f has one valley, or its lowest one is wide
    enough for 129 points to find it.

    `f` takes and returns `[*shape, points]`. A grid finds the valley, finer grids between its neighbours narrow it to
    1e-9 of the range; the ends of the range count.
    """
    left, right = np.full(shape, low), np.full(shape, high)
    for points in (129, *[17] * 8):
        grid = np.linspace(left, right, points, axis=-1)
        best = np.argmin(f(grid), axis=-1)[..., None]
        left, x, right = (
            np.take_along_axis(grid, at, axis=-1)[..., 0]
            for at in (np.maximum(best - 1, 0), best, np.minimum(best + 1, points - 1))
        )
    return np.asarray(x)


def optimum(
    law: Law,
    flops: float,
    *,
    n_params: float | None = None,
    max_params: float | None = None,
    sparsity: float | None = None,
    convention: Convention = "ideal",
) -> Optimum:
    """The best model of a budget: free, at most `max_params` large, of exactly `n_params`, or at one `sparsity`.

    Raises `InputError` for values out of range, bounds that exclude each other, or a sparsity of a law of dense models.
    """
    for name, value in (("params", n_params), ("max-params", max_params)):
        if value is not None and not SMALLEST <= value <= LARGEST:
            raise InputError(f"{name} = {value:g} has to be between {SMALLEST:g} and {LARGEST:g}")
    if n_params is not None and (max_params is not None or sparsity is not None):
        raise InputError("params cannot be given together with max-params or sparsity; leave one out")
    if sparsity is not None and not 0 <= sparsity < 1:
        raise InputError(f"sparsity = {sparsity:g} has to be in [0, 1)")
    budget = Budget(law, flops, convention)
    if sparsity and not budget.sparse:
        raise InputError(f"sparsity = {sparsity:g} has to be 0 or left out: {law.form.name} is a law of dense models")
    largest = max_params or LARGEST
    free: tuple[str, ...] = ("N", "S")
    if n_params is not None:
        n, s, free = float(n_params), float(budget.best_sparsity(n_params)), ("S",)
    elif sparsity is not None:
        n, s, free = float(budget.best_size(sparsity, largest)), sparsity, ("N",)
    else:
        n, s = budget.best(largest)
    band = (s, s) if sparsity is not None or not budget.sparse else _band(budget, n, s, n_params, largest)
    return Optimum(
        sparsity=s,
        n_params=n,
        n_params_active=float(budget.active(n, s)),
        n_tokens=float(budget.tokens(n, s)),
        loss=float(budget.loss(n, s)),
        band=band,
        warnings=warnings_of(budget, n, s, free),
    )


def _band(budget: Budget, n: float, s: float, fixed: float | None, largest: float) -> tuple[float, float]:
    """Ends of the range of sparsity around S* in which the loss stays within 0.01 nats."""

    def excess(hidden: Array) -> Array:
        sparsity = -np.expm1(-hidden)
        size = np.full(hidden.shape, fixed) if fixed else budget.best_size(sparsity, largest)
        return np.asarray(budget.loss(size, sparsity) - budget.loss(n, s) - INDIFFERENCE)

    def crossing(inside: float, outside: float) -> float:
        if excess(np.array([outside]))[0] <= 0:
            return outside
        for _ in range(32):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if excess(np.array([middle]))[0] <= 0 else (inside, middle)
        return inside

    best = float(-np.log1p(-s))
    return float(-np.expm1(-crossing(best, 0.0))), float(-np.expm1(-crossing(best, SPARSEST)))


def warnings_of(budget: Budget, n: float, s: float, free: tuple[str, ...] = ("N", "S")) -> tuple[str, ...]:
    """One sentence for each way in which a recommendation leaves its law's data, or the law contradicts common sense.

    `free` are those of N and S that were searched for.
    """
    law, found = budget.law, []
    active = float(budget.active(n, s))
    values = {"S": s, "N": n, "Na": active, "D": float(budget.tokens(n, s)), "C": budget.flops}
    for name, value in values.items():
        if value > (limit := (law.limits or {}).get(name, np.inf)) * (1 + NEAR):
            found.append(_beyond(name, value, limit, "above", "sparsest" if name == "S" else "largest"))
        if value < (limit := (law.least or {}).get(name, 0)) * (1 - NEAR):
            found.append(_beyond(name, value, limit, "below", "smallest"))
    if active < TINY:
        found.append(f"N_a = {active:.3g} is smaller than a language model is, so the law is not valid here")
    if "N" in free and (n <= SMALLEST * 1.001 or n >= LARGEST * 0.999):
        found.append(f"N = {n:.3g} is the end of the search between {SMALLEST:g} and {LARGEST:g}")
    if "S" in free and s >= -np.expm1(-SPARSEST) * (1 - 1e-12):
        found.append("S is the end of the search at 1 - 1e-9: the law asks for ever more sparsity")
    if law.form.inputs == ("N", "D", "S"):
        d = values["D"]
        step = 1e-6
        here, there = law.loss(n, d, s), law.loss(n, d, s + step * (1 - s))
        if there < here:
            found.append("here the law says that taking active parameters away at the same N and D lowers the loss")
    return tuple(found)


def _beyond(name: str, value: float, limit: float, side: str, end: str) -> str:
    symbol, (shown, edge) = name.replace("Na", "N_a"), (f"{value:.3g}", f"{limit:.3g}")
    if name == "S":
        shown, edge = short_sparsity(value), f"{limit:g}"
    return f"{symbol} = {shown} is {side} {edge}, the {end} that the law was fitted on"


def short_sparsity(sparsity: float) -> str:
    """S to six digits, and as 1 - (1-S) if these would all be nines."""
    return f"{sparsity:.6g}" if 1 - sparsity >= 1e-4 else f"1 - {1 - sparsity:.3g}"
