"""A practitioner's bounds, and a law's best size and sparsity within them.

C pays for the whole life of a model: 6 N_a D FLOPs of training and 2 N_a T of serving T tokens may not exceed it.
Therefore D = min((C / N_a - 2 T) / 6, D_max). Sardana et al. (2024) minimise the sum at fixed loss; this minimises the
loss at a fixed sum and finds the same models. Without serving tokens C is the training budget, as everywhere else.
Serving counts forward passes, for processed and generated tokens alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moe_lib.errors import InputError
from moe_lib.laws.basis import Array
from moe_lib.laws.optimum import INDIFFERENCE, LARGEST, SMALLEST, SPARSEST, Budget, minimise
from moe_lib.laws.parametric import Law
from moe_lib.laws.shapes import active_params
from moe_lib.paper import ASPECT, VOCABULARY
from moe_lib.planner.family import Family

TRAINING_BYTES = 16.0  # per parameter: weight and gradient in bfloat16, float32 master copy and Adam's two moments
NO_TOKENS = 1e-6  # training tokens if serving alone costs more than C: the loss is worse than any other, yet finite
RELAXED = 0.1  # share by which a bound is relaxed to measure its cost


@dataclass(frozen=True)
class Demand:
    """Bounds on a model: FLOPs, parameters or bytes for them, tokens to train on, tokens to serve.

    `max_bytes` bounds N (all parameters, never only the active ones) through `bytes_per_param`: 16 to train with Adam
    in mixed precision, 2 to serve in bfloat16. `max_sparsity` is the sparsest model considered; None takes the sparsest
    that the law was fitted on. `InputError` for invalid values.
    """

    flops: float
    max_params: float | None = None
    max_bytes: float | None = None
    bytes_per_param: float = TRAINING_BYTES
    max_tokens: float | None = None
    serving_tokens: float = 0.0
    max_sparsity: float | None = None

    def __post_init__(self) -> None:
        for name in ("flops", "max_params", "max_bytes", "bytes_per_param", "max_tokens"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"{option(name)} = {value:g} has to be positive and finite")
        if not (np.isfinite(self.serving_tokens) and self.serving_tokens >= 0):
            raise InputError(f"serving-tokens = {self.serving_tokens:g} has to be finite and not negative")
        if self.max_sparsity is not None and not 0 <= self.max_sparsity < 1:
            raise InputError(f"max-sparsity = {self.max_sparsity:g} has to be in [0, 1)")
        if self.max_params is not None and self.max_bytes is not None:
            raise InputError("max-params and max-bytes cannot both be given; leave one out")
        if not SMALLEST <= self.largest <= LARGEST:
            name = "max-bytes / bytes-per-param" if self.max_bytes else "max-params"
            raise InputError(f"{name} = {self.largest:g} has to be between {SMALLEST:g} and {LARGEST:g} parameters")

    @property
    def largest(self) -> float:
        """Largest N allowed."""
        if self.max_bytes is not None:
            return self.max_bytes / self.bytes_per_param
        return LARGEST if self.max_params is None else self.max_params

    def bounds(self) -> dict[str, float]:
        """The given bounds, by name."""
        names = ("flops", "max_params", "max_bytes", "max_tokens", "serving_tokens", "max_sparsity")
        given = {name: getattr(self, name) for name in names}
        return {name: x for name, x in given.items() if x is not None and (x or name != "serving_tokens")}

    def relaxed(self, name: str) -> "Demand":
        """The same demand with one bound relaxed by a tenth; for a sparsity, with 1 - S a tenth smaller."""
        value = getattr(self, name)
        if name == "max_sparsity":
            return replace(self, max_sparsity=1 - (1 - value) * (1 - RELAXED))
        return replace(self, **{name: value * (1 - RELAXED if name == "serving_tokens" else 1 + RELAXED)})

    def of(self, law: Law, family: Family | None = None, convention: Any = "ideal") -> "Question":
        """The optimisation problem of this demand under a law; a family gives shapes other than the paper's."""
        shape = {} if family is None else {"vocabulary": family.vocab_size, "aspect": family.aspect}
        sparsest = (law.limits or {}).get("S") if self.max_sparsity is None else self.max_sparsity
        return Question(
            law,
            self.flops,
            convention,
            max_params=self.largest,
            max_tokens=self.max_tokens or np.inf,
            serving_tokens=self.serving_tokens,
            max_sparsity=-np.expm1(-SPARSEST) if sparsest is None else sparsest,
            **shape,
        )


@dataclass(frozen=True)
class Question(Budget):
    """A law under all bounds of a demand; `loss(N, S)` is the loss with the tokens that the bounds allow."""

    max_params: float = LARGEST
    max_tokens: float = np.inf
    serving_tokens: float = 0.0
    max_sparsity: float = 0.0
    vocabulary: int = VOCABULARY
    aspect: float = ASPECT

    @property
    def end(self) -> float:
        """Largest -log(1-S) considered; 0 for a law of dense models."""
        return float(-np.log1p(-self.max_sparsity)) if self.sparse else 0.0

    def active(self, n_params: Any, sparsity: Any) -> Array:
        """N_a; a law of dense models has all parameters active."""
        if not self.sparse:
            return np.asarray(n_params)
        return active_params(n_params, sparsity, self.convention, self.vocabulary, self.aspect)

    def tokens(self, n_params: Any, sparsity: Any) -> Array:
        """D = min((C / N_a - 2 T) / 6, D_max)."""
        paid = (self.flops / self.active(n_params, sparsity) - 2 * self.serving_tokens) / 6
        return np.clip(paid, NO_TOKENS, self.max_tokens)

    def solve(self) -> tuple[float, float]:
        """(N*, S*) under all bounds. `InputError` if serving alone costs more than the budget."""
        s = sparsity_of(minimise(self.loss_at_sparsity, 0.0, self.end, ()))
        n = float(self.best_size(s, self.max_params))
        if self.tokens(n, s) <= NO_TOKENS:
            raise InputError(
                f"serving-tokens = {self.serving_tokens:g} alone cost more than flops = {self.flops:g}, even with the "
                f"smallest and sparsest model"
            )
        return n, float(s)

    def band(self, n_params: float, sparsity: float) -> dict[str, tuple[float, float]]:
        """Ranges of S and of N within 0.01 nats of the optimum, with the other of the two re-optimised."""
        level = self.loss(n_params, sparsity) + INDIFFERENCE
        s, n = -np.log1p(-sparsity), np.log(n_params)
        hidden = [reach(lambda x: self.loss_at_sparsity(x) - level, s, end) for end in (0.0, self.end)]
        ends = np.log([SMALLEST, self.max_params])
        sizes = [reach(lambda x: self.loss_at_size(x) - level, n, end) for end in ends]
        return {
            "sparsity": (float(sparsity_of(hidden[0])), float(sparsity_of(hidden[1]))),
            "n_params": (float(np.exp(sizes[0])), float(np.exp(sizes[1]))),
        }

    def loss_at_sparsity(self, hidden: Any) -> Array:
        """Loss of the best size at -log(1-S)."""
        s = sparsity_of(hidden)
        return self.loss(self.best_size(s, self.max_params), s)

    def loss_at_size(self, log_n: Array) -> Array:
        """Loss of the best sparsity at log N."""
        n = np.exp(log_n)
        hidden = minimise(lambda x: self.loss(n[..., None], sparsity_of(x)), 0.0, self.end, n.shape)
        return self.loss(n, sparsity_of(hidden))


def sparsity_of(hidden: Any) -> Array:
    """S of -log(1-S)."""
    return np.asarray(-np.expm1(-np.asarray(hidden)))


def reach(excess: Callable[[Array], Array], inside: float, outside: float) -> float:
    """The farthest point from `inside` towards `outside` up to which the excess is at most zero."""
    for points in (65, 17, 17, 17, 17, 17, 17):
        grid = np.linspace(inside, outside, points)
        beyond = excess(grid) > 0
        if not beyond.any():
            return float(outside)
        first = max(int(np.argmax(beyond)), 1)  # the optimum itself is inside
        inside, outside = float(grid[first - 1]), float(grid[first])
    return inside


def option(name: str) -> str:
    """The command-line option of a field."""
    return name.replace("_", "-")
