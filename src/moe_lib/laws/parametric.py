"""The forms that can be fitted, by name, and the law: a form with values.

A new form is one entry here: its terms, and a grid of starts for its exponents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from moe_lib.errors import InputError
from moe_lib.laws.basis import STEEPEST, Array, Columns, Form, Posynomial
from moe_lib.laws.saturating import Saturating

POWERS = (0.25, 0.5, 0.75, 1.0)
SIGNED = (-1.0, -0.5, 0.5, 1.0)
DENSE_GRID = tuple(np.linspace(0.05, 1.25, 9).tolist())

CHINCHILLA = Posynomial(
    "chinchilla",
    {"a": {"alpha": "-N"}, "b": {"beta": "-D"}, "e": {}},
    {"alpha": DENSE_GRID, "beta": DENSE_GRID},
    "Eq. 5; Hoffmann et al. (2022), approach 3",
)

SPARSITY = Posynomial(
    "sparsity",
    {
        "a": {"alpha": "-N"},
        "b": {"beta": "-D"},
        "c": {"lambda": "S"},
        "d": {"delta": "S", "gamma": "-N"},
        "e": {},
    },
    {"alpha": POWERS, "beta": POWERS, "lambda": SIGNED, "delta": SIGNED, "gamma": POWERS},
    "Eq. 6",
)

SPARSITY_NO_C = Posynomial(
    "sparsity-no-c",
    {"a": {"alpha": "-N"}, "b": {"beta": "-D"}, "d": {"delta": "S", "gamma": "-N"}, "e": {}},
    {"alpha": POWERS, "beta": POWERS, "delta": SIGNED, "gamma": POWERS},
    "Eq. 6 without its c-term",
)

CHINCHILLA_ACTIVE = Posynomial(
    "chinchilla-active",
    {"a": {"alpha": "-Na"}, "b": {"beta": "-D"}, "d": {"gamma": "-N"}, "e": {}},
    {"alpha": POWERS, "beta": POWERS, "gamma": POWERS},
    "Eq. 5 in active parameters, and a term in N",
)

# a_S (1-S)^b_S + c_S over N^b_N, with N the non-zero parameters, and (a_D / D)^b_D multiplied out.
FRANTAR = Posynomial(
    "frantar",
    {"a_S": {"b_S": "-S", "b_N": "-Na"}, "c_S": {"b_N": "-Na"}, "A_D": {"b_D": "-D"}, "c": {}},
    {"b_S": SIGNED, "b_N": POWERS, "b_D": POWERS},
    "Frantar et al. (2024), Eq. 2",
)

FINE_GRAINED = Posynomial(
    "fine-grained",
    {"a": {"alpha": "-N"}, "g": {"alpha": "-N", "gamma": "-G"}, "b": {"beta": "-D"}, "c": {}},
    {"alpha": POWERS, "beta": POWERS, "gamma": POWERS},
    "Ludziejewski, Krajewski et al. (2024), at one expansion rate",
)

_Q, _M = tuple(np.log([0.05, 0.5]).tolist()), tuple((-np.log([100.0, 400.0])).tolist())

JOINT_MOE = Saturating(
    "joint-moe",
    {
        "a": {"delta": "E", "alpha": "Na", "gamma": "Na*E"},
        "b": {"omega": "E", "beta": "D", "zeta": "D*E"},
        "c": {},
    },
    {
        "alpha": (-0.5, -0.25, -0.1),
        "beta": (-0.5, -0.25, -0.1),
        "delta": (-0.5, 0.0, 0.5),
        "omega": (-0.5, 0.0, 0.5),
        "gamma": (0.0,),
        "zeta": (0.0,),
        "log_q": _Q,
        "log_m": _M,
    },
    "Ludziejewski et al. (2025)",
)

CLARK = Saturating(
    "clark",
    {"d": {"a": "N", "b": "E", "c": "N*E"}},
    {"a": (-0.2, -0.1, -0.05), "b": (-0.2, -0.1, 0.0), "c": (0.0, 0.005), "log_q": _Q, "log_m": _M},
    "Clark et al. (2022), Eq. 1 with saturating E, at one D; N is the size of the dense model",
    base_10=True,
)

COMPUTE = Posynomial(
    "compute", {"k": {"a": "-C"}, "e": {}}, {"a": DENSE_GRID}, "L = e + k / C^a: the loss of a family of good runs"
)


@dataclass(frozen=True)
class Kaplan(Posynomial):
    """((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D as (a N^(-p) + b D^(-1))^q."""

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """The power of D is one."""
        return {**super().bounds, "one": (1.0, 1.0), "q": (0.01, STEEPEST)}

    @property
    def printed(self) -> Mapping[str, str]:
        """What the internal values mostly move."""
        return {"a": "N_c", "b": "D_c", "p": "alpha_N", "q": "alpha_D"}

    def named(self, coefficients: Array, exponents: Array) -> dict[str, float]:
        """Values under the names in print."""
        (a, b), (p, _, q) = coefficients.tolist(), exponents.tolist()
        return {"N_c": a ** (1 / p) if p else float("inf"), "D_c": b, "alpha_N": p * q, "alpha_D": q}

    def internal(self, values: Mapping[str, float]) -> tuple[Array, Array]:
        """Coefficients `[k]` and exponents `[m]` from the names in print."""
        p = values["alpha_N"] / values["alpha_D"]
        return np.array([values["N_c"] ** p, values["D_c"]]), np.array([p, 1.0, values["alpha_D"]])


KAPLAN = Kaplan(
    "kaplan",
    {"a": {"p": "-N"}, "b": {"one": "-D"}},
    {"p": (0.4, 0.7, 1.0, 1.3), "one": (1.0,), "q": (0.05, 0.1, 0.2, 0.4)},
    "Kaplan et al. (2020), Eq. 1.5",
    outer="q",
)

POWER_LAW = Posynomial("power-law", {"k": {"a": "C"}}, {"a": (0.0, 0.5, 1.0)}, "Eq. 1: N* = k C^a", target="N")

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        CHINCHILLA,
        SPARSITY,
        SPARSITY_NO_C,
        CHINCHILLA_ACTIVE,
        FRANTAR,
        FINE_GRAINED,
        JOINT_MOE,
        CLARK,
        KAPLAN,
        COMPUTE,
        POWER_LAW,
    )
}


@dataclass(frozen=True)
class Law:
    """A form with values for all its coefficients and exponents.

    `loss` and `terms` take the form's inputs in order (N, D, S for Eq. 6) or by name, as numbers or arrays that
    broadcast: parameters and tokens as counts, sparsity as a share. Losses are in nats per token. `source` says where
    the values come from; `limits` and `least` are the largest and the smallest N, Na, D, S or C that they were fitted
    on, if known.
    """

    form: Form
    values: Mapping[str, float]
    source: str = ""
    limits: Mapping[str, float] | None = None
    least: Mapping[str, float] | None = None

    def loss(self, *inputs: Any, **named: Any) -> Array:
        """Predicted loss; `InputError` if an input is missing or outside the law's domain."""
        columns, shape = self._columns(inputs, named)
        total = self._terms(columns).sum(axis=0)
        if self.form.outer is not None:
            total = total ** self._internal[1][self.form.exponents.index(self.form.outer)]
        return np.asarray(total.reshape(shape))[()]

    def terms(self, *inputs: Any, **named: Any) -> dict[str, Array]:
        """What each term adds to the loss (or to the sum that is raised to a power), by the name of its coefficient."""
        columns, shape = self._columns(inputs, named)
        return {
            name: np.asarray(term.reshape(shape))[()]
            for name, term in zip(self.form.coefficients, self._terms(columns), strict=True)
        }

    @cached_property
    def _internal(self) -> tuple[Array, Array]:
        return self.form.internal(self.values)

    def _terms(self, columns: Columns) -> Array:
        coefficients, exponents = self._internal
        with np.errstate(divide="ignore"):  # a coefficient of zero has no term
            return np.asarray(np.exp(np.log(coefficients)[:, None] + self.form.bind(columns).log_terms(exponents)))

    def _columns(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Columns, tuple[int, ...]]:
        given = dict(zip(self.form.inputs, inputs, strict=False)) | dict(named)
        missing = [name for name in self.form.inputs if name not in given]
        if missing or len(inputs) > len(self.form.inputs):
            raise InputError(f"{', '.join(missing) or 'inputs'}: the law takes {', '.join(self.form.inputs)}")
        arrays = np.broadcast_arrays(*(np.asarray(given[name], dtype=np.float64) for name in self.form.inputs))
        for name, array in zip(self.form.inputs, arrays, strict=True):
            check_domain(name, array)
        return {name: np.atleast_1d(array).ravel() for name, array in zip(self.form.inputs, arrays, strict=True)}, (
            arrays[0].shape
        )


def check_domain(name: str, values: Array) -> None:
    """Raise `InputError` unless sparsity is in [0, 1) and every other input is positive and finite."""
    ok = (values >= 0) & (values < 1) if name == "S" else (values > 0) & np.isfinite(values)
    if not np.all(ok):
        wrong = np.asarray(values)[~ok].flat[0]
        raise InputError(f"{name} = {wrong:g} has to {'be in [0, 1)' if name == 'S' else 'be positive and finite'}")
