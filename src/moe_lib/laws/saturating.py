"""Forms in the saturating number of experts of Clark et al. (2022)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moe_lib.laws.basis import Array, Basis, Columns, Linear, Posynomial, feature, ordered

SHAPE = ("log_q", "log_m")
SHAPE_BOUNDS = (-30.0, 5.0)  # E_start and E_max between 1/150 and 1e13


@dataclass(frozen=True)
class Saturating(Posynomial):
    """A posynomial with log Ê as feature "E", where E = 1/(1-S), so S has to come from experts with K = 1.

    Its last two exponents are log q and log m, with m = 1/E_max and q = 1/E_start - 1/E_max: all real values give 0 <
    E_start < E_max.
    """

    base_10: bool = False  # Clark et al. print their law in decimal logarithms

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs of a posynomial, with sparsity in place of the number of experts."""
        return ordered({"S" if x == "E" else x for x in super().inputs})

    @property
    def printed(self) -> Mapping[str, str]:
        """The printed names that the shape of the saturation mostly moves."""
        return {"log_q": "E_start", "log_m": "E_max"}

    @cached_property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """The bounds of a posynomial, and wide ones for the shape of the saturation."""
        return {**super().bounds, **dict.fromkeys(SHAPE, SHAPE_BOUNDS)}

    def bind(self, columns: Columns) -> Basis:
        """The terms at the inputs of `columns`."""
        return SaturatingBasis(self, {name: feature(name, columns[name]) for name in self.inputs})

    def named(self, coefficients: Array, exponents: Array) -> dict[str, float]:
        """Values under the names in print: E_start and E_max, and decimal logarithms if the source prints them."""
        values = Posynomial.named(self, coefficients, exponents)
        q, m = (math.exp(values.pop(name)) for name in SHAPE)
        if self.base_10:
            values["c"] *= math.log(10)
            values["d"] = math.log10(values["d"])
        return values | {"E_start": 1 / (q + m), "E_max": 1 / m}

    def internal(self, values: Mapping[str, float]) -> tuple[Array, Array]:
        """Coefficients `[k]` and exponents `[m]` from the names in print."""
        inner = dict(values)
        start, largest = inner.pop("E_start"), inner.pop("E_max")
        inner |= {"log_q": math.log(1 / start - 1 / largest), "log_m": -math.log(largest)}
        if self.base_10:
            inner["c"] /= math.log(10)
            inner["d"] = 10 ** inner["d"]
        return Posynomial.internal(self, inner)


@dataclass(frozen=True)
class SaturatingBasis:
    """The terms of a saturating form, whose monomials move with the shape of the saturation."""

    form: Saturating
    features: Mapping[str, Array]

    def _experts(self, exponents: Array) -> tuple[Array, Array, Array]:
        """log Ê and its derivatives in log q and log m, each `[n]`."""
        q, m = np.exp(exponents[-2:])
        rise = np.expm1(self.features["S"]) * q + 1  # q (E - 1) + 1
        inverse = q / rise + m
        return -np.log(inverse), -q / rise**2 / inverse, -m / inverse

    def log_terms(self, exponents: Array) -> Array:
        log_experts = self._experts(exponents)[0]
        return Linear(self.form.monomials({**self.features, "E": log_experts})).log_terms(exponents)

    def jacobian(self, exponents: Array) -> Array:
        log_experts, in_q, in_m = self._experts(exponents)
        features = {**self.features, "E": log_experts}
        out = self.form.monomials(features)
        slope = Linear(self.form.monomials(features, slope_in="E")).log_terms(exponents)
        out[-2], out[-1] = slope * in_q, slope * in_m
        return out
