"""What a form of scaling law is: terms that add up to a loss, and what their exponents act on.

Nearly every law in print is a sum of products of powers, so a form is a table of its terms. With logarithms of the
inputs as features (n = log N, d = log D, s = -log(1-S), ...) the terms of Eq. 6 are exponentials of sums that are
linear in the exponents:

    L = a exp(-alpha n) + b exp(-beta d) + c exp(lambda s) + d exp(delta s - gamma n) + e

Given the exponents a law is linear in its coefficients, which are not negative; the solver relies on that.

Shapes: n runs, k terms (one coefficient each), m exponents. Everything is float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from moe_lib.errors import InputError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
STEEPEST = 6.0  # largest exponent, either sign, of a search; the steepest in print that we know is 5


class Columns(Protocol):
    """A pandas table, or a mapping of names to arrays."""

    def __getitem__(self, key: str, /) -> Any: ...


class Basis(Protocol):
    """The terms of a form, without coefficients, at the inputs of some runs."""

    def log_terms(self, exponents: Array) -> Array:
        """Logarithm of every term with coefficient 1, `[k, n]`."""
        ...

    def jacobian(self, exponents: Array) -> Array:
        """Derivative of `log_terms` in every exponent, `[m, k, n]`."""
        ...


class Form(Protocol):
    """What the solver needs from a law: names, a grid of starts, and a basis at given inputs.

    `bounds` are of exponents, and of coefficients if a form has any. `constants` are the coefficients of terms without
    exponents. `printed` gives internal names the names in print that they mostly move, if these differ. `outer` is the
    exponent to which the sum of all terms is raised, if there is one.
    """

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def target(self) -> str: ...
    @property
    def coefficients(self) -> tuple[str, ...]: ...
    @property
    def exponents(self) -> tuple[str, ...]: ...
    @property
    def grid(self) -> Mapping[str, tuple[float, ...]]: ...
    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]: ...
    @property
    def constants(self) -> frozenset[str]: ...
    @property
    def printed(self) -> Mapping[str, str]: ...
    @property
    def outer(self) -> str | None: ...
    def bind(self, columns: Columns) -> Basis: ...
    def named(self, coefficients: Array, exponents: Array) -> dict[str, float]: ...
    def internal(self, values: Mapping[str, float]) -> tuple[Array, Array]: ...


def feature(name: str, values: Any) -> Array:
    """Logarithm of an input; of sparsity it is -log(1-S), as in Eq. 8."""
    raw = np.asarray(values, dtype=np.float64)
    return -np.log1p(-raw) if name == "S" else np.log(raw)


@dataclass(frozen=True)
class Linear:
    """A basis whose logarithm is linear in the exponents: `monomials` `[m, k, n]`, and an `offset` `[k, n]`."""

    monomials: Array
    offset: Array | float = 0.0

    def log_terms(self, exponents: Array) -> Array:
        m, k, n = self.monomials.shape
        return np.asarray((exponents @ self.monomials.reshape(m, k * n)).reshape(k, n) + self.offset)

    def jacobian(self, exponents: Array) -> Array:
        return self.monomials


@dataclass(frozen=True)
class Posynomial:
    """A sum of products of powers.

    `terms` gives each coefficient its exponents, and each exponent what it acts on: "-N" means -log N, "S" means
    -log(1-S), "Na*E" for the product of two logarithms. `grid` gives each exponent its starting values.
    """

    name: str
    terms: Mapping[str, Mapping[str, str]]
    grid: Mapping[str, tuple[float, ...]]
    source: str = ""
    target: str = "L"
    outer: str | None = None

    @cached_property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the linear part, one per term."""
        return tuple(self.terms)

    @cached_property
    def exponents(self) -> tuple[str, ...]:
        """Names of the non-linear part, in the order of the grid."""
        return tuple(self.grid)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that a run has to have, in the order in which `Law.loss` takes them."""
        return ordered({part for term in self.terms.values() for product in term.values() for part in _parts(product)})

    @cached_property
    def constants(self) -> frozenset[str]:
        """Coefficients of terms without exponents."""
        return frozenset(name for name, term in self.terms.items() if not term)

    @property
    def printed(self) -> Mapping[str, str]:
        """Every internal name is printed as it is."""
        return {}

    @cached_property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest value of every exponent in a search.

        A loss falls with size and data, so an exponent of one of these alone never makes its term grow. Without that, a
        search may raise a term to the power 300 to pass through a single run.
        """
        return {
            name: _bounds({term[name] for term in self.terms.values() if name in term}, self.target)
            for name in self.exponents
        }

    def bind(self, columns: Columns) -> Basis:
        """The terms at the inputs of `columns`."""
        return Linear(self.monomials({name: feature(name, columns[name]) for name in self.inputs}))

    def monomials(self, features: Mapping[str, Array], slope_in: str | None = None) -> Array:
        """What every exponent acts on, `[m, k, n]`, or its derivative in one feature."""
        n = np.broadcast(*features.values()).size if features else 1
        out = np.zeros((len(self.exponents), len(self.terms), n))
        for k, term in enumerate(self.terms.values()):
            for exponent, product in term.items():
                out[self.exponents.index(exponent), k] = _monomial(product, features, slope_in)
        return out

    def slopes(self, values: Mapping[str, float], columns: Columns) -> dict[str, Array]:
        """Derivative of the loss in every feature (log N, log D, -log(1-S), ...), in nats per unit of the feature."""
        coefficients, exponents = self.internal(values)
        features = dict(
            zip(
                self.inputs,
                np.broadcast_arrays(*(np.atleast_1d(feature(x, columns[x])) for x in self.inputs)),
                strict=True,
            )
        )
        terms = coefficients[:, None] * np.exp(Linear(self.monomials(features)).log_terms(exponents))
        return {
            x: (terms * Linear(self.monomials(features, slope_in=x)).log_terms(exponents)).sum(axis=0)
            for x in self.inputs
        }

    def named(self, coefficients: Array, exponents: Array) -> dict[str, float]:
        """Values under the names in print."""
        return dict(zip(self.coefficients + self.exponents, map(float, (*coefficients, *exponents)), strict=True))

    def internal(self, values: Mapping[str, float]) -> tuple[Array, Array]:
        """Coefficients `[k]` and exponents `[m]` from their names."""
        return (
            np.array([values[name] for name in self.coefficients], dtype=np.float64),
            np.array([values[name] for name in self.exponents], dtype=np.float64),
        )


def tied(form: Posynomial, pairs: Mapping[str, str]) -> Posynomial:
    """The form with some exponents equal to others: `{"beta": "alpha"}` keeps only alpha.

    `InputError` for a name that is not an exponent of the form, or two exponents of one term.
    """
    for name in (*pairs, *pairs.values()):
        if name not in form.exponents or name == form.outer:
            raise InputError(f"tie: {name!r} has to be one of the exponents {', '.join(form.exponents)}")
    terms: dict[str, dict[str, str]] = {}
    for coefficient, term in form.terms.items():
        renamed = [(pairs.get(name, name), product) for name, product in term.items()]
        terms[coefficient] = dict(renamed)
        if len(terms[coefficient]) < len(renamed):
            raise InputError(
                f"tie: the term of {coefficient} has both exponents; only those of different terms can be equal"
            )
    return replace(form, terms=terms, grid={name: axis for name, axis in form.grid.items() if name not in pairs})


def ordered(inputs: set[str]) -> tuple[str, ...]:
    """Inputs in the order in which laws take them."""
    order = ("N", "Na", "D", "S", "G", "C")
    return tuple(x for x in order if x in inputs) + tuple(sorted(inputs - set(order)))


def _bounds(products: set[str], target: str) -> tuple[float, float]:
    """Bounds of an exponent that acts on `products`."""
    sizes = target == "L" and not any("*" in product or product.lstrip("-") in ("S", "E", "G") for product in products)
    falling = {product.startswith("-") for product in products}
    return (
        0.0 if sizes and falling == {True} else -STEEPEST,
        0.0 if sizes and falling == {False} else STEEPEST,
    )


def _parts(product: str) -> list[str]:
    return product.removeprefix("-").split("*")


def _monomial(product: str, features: Mapping[str, Array], slope_in: str | None) -> Any:
    sign, parts = -1.0 if product.startswith("-") else 1.0, _parts(product)
    if slope_in is None:
        return sign * np.prod([features[part] for part in parts], axis=0)
    if slope_in not in parts:
        return 0.0
    parts.remove(slope_in)
    return sign * np.prod([features[part] for part in parts], axis=0) if parts else sign
