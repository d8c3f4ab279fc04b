"""What a law of Eq. 6 says: its optima at the paper's budgets under every convention, and what its form allows."""

from collections.abc import Callable
from functools import cache, cached_property

import numpy as np
import pandas as pd

from moe_lib.accounting import CONVENTIONS, Convention
from moe_lib.laws.basis import Array, Posynomial, feature
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.paper import BUDGETS, SIZES, SPARSITIES

OTHERS = 100  # random laws of one form, to test whether any could say otherwise
TYPICAL = {"N": 1e9, "D": 2e10, "S": 0.5}  # the point at which the sizes of a random law's terms are drawn
N_SIZES = 12  # sizes at which the best sparsity is computed

BLIND = Posynomial(
    "blind to sparsity",
    {"a": {"alpha": "-Na"}, "b": {"beta": "-D"}, "d": {"gamma": "-Na"}, "e": {}},
    {"alpha": (0.5,), "beta": (0.5,), "gamma": (0.5,)},
    "Eq. 6 of the dense model of as many active parameters",
)


def without_effect(law: Law) -> Law:
    """The law as if sparsity did nothing: the loss of the dense model that has as many active parameters."""
    if law.form is BLIND:
        return law
    values = {name: law.values[name] for name in ("a", "b", "d", "alpha", "beta", "gamma")}
    return Law(BLIND, values | {"e": law.values["e"] + law.values["c"]}, "as if sparsity did nothing")


class LawVoice:
    """A law in N, D and S (or in N_a and D), and its optima; each is computed once."""

    def __init__(self, law: Law) -> None:
        self.law = law
        self._optima: dict[tuple[float, Convention], pd.DataFrame] = {}
        self._sparsities: dict[tuple[float, Convention], Array] = {}

    def optima(self, flops: float, convention: Convention) -> pd.DataFrame:
        """The best size at each of the paper's sparsities: columns S, s = -log(1-S), N, Na, D and L."""
        key = flops, convention
        if key not in self._optima:
            budget, s = Budget(self.law, flops, convention), np.array(SPARSITIES)
            n = budget.best_size(s)
            self._optima[key] = pd.DataFrame(
                {"S": s, "s": feature("S", s), "N": n, "Na": budget.active(n, s), "D": budget.tokens(n, s),
                 "L": budget.loss(n, s)}
            )  # fmt: skip
        return self._optima[key]

    @property
    def sizes(self) -> Array:
        """Sizes over the range that the paper trained, at which the best sparsity is computed."""
        return np.geomspace(*SIZES, N_SIZES)

    def best_sparsity(self, flops: float, convention: Convention) -> Array:
        """-log(1-S*) at each of `sizes`."""
        key = flops, convention
        if key not in self._sparsities:
            best = Budget(self.law, flops, convention).best_sparsity(self.sizes)
            self._sparsities[key] = np.asarray(feature("S", best))
        return self._sparsities[key]

    @cached_property
    def blind(self) -> "LawVoice":
        """The same law as if sparsity did nothing."""
        return LawVoice(without_effect(self.law))

    def form_allows_one_sign(self, number: Callable[["LawVoice"], Array]) -> bool:
        """Whether a number has one sign, or is zero, for every one of `others`: then it is a property of the form.

        A form that allows one answer only is not evidence for it.
        """
        seen: set[int] = set()
        for law in others():
            seen |= {int(sign) for sign in np.sign(_rounded(number(law))).ravel()} - {0}
            if len(seen) > 1:
                return False
        return True


@cache
def others() -> tuple[LawVoice, ...]:
    """Laws of the form of Eq. 6 with random coefficients and exponents; lambda and delta have either sign."""
    rng, laws = np.random.default_rng(0), []
    for _ in range(OTHERS):
        values = dict(zip(("alpha", "beta", "gamma"), rng.uniform(0.05, 1.0, 3).tolist(), strict=True))
        values |= dict(zip(("lambda", "delta"), rng.uniform(-1.0, 1.0, 2).tolist(), strict=True))
        ones = Law(SPARSITY, dict.fromkeys("abcde", 1.0) | values).terms(**TYPICAL)
        sizes = np.exp(rng.uniform(np.log(0.01), np.log(3.0), 5))
        laws.append(Law(SPARSITY, values | {k: float(x / ones[k]) for k, x in zip("abcde", sizes, strict=True)}))
    return tuple(LawVoice(law) for law in laws)


LOOKS: tuple[tuple[float, Convention], ...] = tuple((flops, one) for one in CONVENTIONS for flops in BUDGETS)


def _rounded(values: Array) -> Array:
    return np.where(np.abs(values) < 1e-5, 0.0, values)
