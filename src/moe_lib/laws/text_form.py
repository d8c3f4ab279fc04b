"""Forms written as text: `e + a / N**alpha + b / D**beta`, parsed and never evaluated as code.

The formula is multiplied out into terms. Each term has one coefficient, a name that the text uses nowhere else, or a
number; powers of inputs and of (1-S); and exponents that are linear in names and numbers. The result is a form like any
other: linear in its coefficients given its exponents.
"""

import ast
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from moe_lib.errors import InputError
from moe_lib.laws.basis import STEEPEST, Array, Columns, Linear, Posynomial, feature, ordered

INPUTS = ("N", "Na", "D", "S", "G", "C")
Exponent = Mapping[str, float]  # a number under "", and factors of names
GRID_POINTS = {1: 17, 2: 9, 3: 6, 4: 5, 5: 4}  # values of each exponent, by the number of exponents
LAMBDA = "lambda_"  # lambda is a keyword of Python
MOST_TERMS = 8  # least squares tries every subset of them


@dataclass(frozen=True)
class Term:
    """A product: a number, names to powers, and inputs (S means 1-S here) to exponents."""

    number: float = 1.0
    names: Mapping[str, float] = field(default_factory=dict)
    powers: Mapping[str, Exponent] = field(default_factory=dict)

    def times(self, other: "Term") -> "Term":
        """The product of two terms."""
        powers = {x: add(self.powers.get(x, {}), other.powers.get(x, {})) for x in {*self.powers, *other.powers}}
        return Term(self.number * other.number, add(self.names, other.names), powers)

    def to(self, exponent: Exponent) -> "Term":
        """The term to a power; names with a power of their own take numbers only."""
        plain = exponent.get("", 0.0)
        if set(exponent) - {""} and (self.names or self.number != 1):
            raise InputError(
                "only inputs and (1-S) can be raised to a named exponent: write a / N**alpha, not (a/N)**alpha"
            )
        powers = {}
        for x, own in self.powers.items():
            if set(own) - {""} and set(exponent) - {""}:
                raise InputError(f"the exponent of {x} is a product of names, but has to be linear in them")
            powers[x] = scale(exponent, own.get("", 0.0)) if not set(own) - {""} else scale(own, plain)
        return Term(self.number**plain, scale(self.names, plain), powers)


def add(one: Exponent, other: Exponent) -> dict[str, float]:
    """The sum of two linear forms."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def scale(one: Exponent, factor: float) -> dict[str, float]:
    """A multiple of a linear form."""
    return {name: value * factor for name, value in one.items()}


@dataclass(frozen=True)
class TextForm(Posynomial):
    """A posynomial whose exponents may be linear in several names, and numbers."""

    parsed: Mapping[str, Term] = field(default_factory=dict)
    text: str = ""

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Inputs that the text names."""
        return ordered({x for term in self.parsed.values() for x in term.powers})

    @cached_property
    def constants(self) -> frozenset[str]:
        """Coefficients of terms without powers."""
        return frozenset(name for name, term in self.parsed.items() if not term.powers)

    @cached_property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Those of exponents follow the rules of other forms; terms that are plain numbers are fixed."""
        fixed = {name: (1.0, 1.0) for name, term in self.parsed.items() if not term.names}
        return {**{name: self._range(name) for name in self.exponents}, **fixed}

    def bind(self, columns: Columns) -> Linear:
        """The terms at the inputs of `columns`."""
        features = {x: feature(x, columns[x]) for x in self.inputs}
        n = np.broadcast(*features.values()).size
        return Linear(self.monomials(features), np.stack([self._offset(t, features, n) for t in self.parsed.values()]))

    def monomials(self, features: Mapping[str, Array], slope_in: str | None = None) -> Array:
        """What every exponent acts on, `[m, k, n]`, or its derivative in one feature."""
        n = np.broadcast(*features.values()).size
        out = np.zeros((len(self.exponents), len(self.parsed), n))
        for k, term in enumerate(self.parsed.values()):
            for x, power in term.powers.items():
                values = features[x] if slope_in is None else np.full(n, float(x == slope_in))
                for name in set(power) - {""}:
                    out[self.exponents.index(name), k] += power[name] * _sign(x) * values
        return out

    def _offset(self, term: Term, features: Mapping[str, Array], n: int) -> Array:
        parts = [np.full(n, np.log(term.number))]
        parts += [power.get("", 0.0) * _sign(x) * features[x] for x, power in term.powers.items()]
        return np.asarray(np.sum(parts, axis=0))

    def _range(self, name: str) -> tuple[float, float]:
        factors = {
            (x, np.sign(power[name]))
            for term in self.parsed.values()
            for x, power in term.powers.items()
            if name in power
        }
        signs = {sign for _, sign in factors}
        sizes = self.outer is None and not {x for x, _ in factors} & {"S", "G"}
        if name == self.outer:
            return 0.01, STEEPEST
        return (0.0 if sizes and signs == {-1} else -STEEPEST, 0.0 if sizes and signs == {1} else STEEPEST)


def _sign(name: str) -> float:
    """The feature of S is -log(1-S), and the text has powers of (1-S)."""
    return -1.0 if name == "S" else 1.0


def parse_form(text: str, others: Collection[str] = ()) -> TextForm:
    """The form of a text; `others` are inputs besides N, Na, D, S, G and C, and every other name is a parameter.

    `InputError` says which part of the text cannot be read, and what is allowed.
    """
    try:
        tree = ast.parse(re.sub(r"\blambda\b", LAMBDA, text.strip()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"form = {text!r} is not a formula; write one such as 'e + a / N**alpha + b / D**beta'"
        ) from None
    try:
        inputs = {*INPUTS, *others}
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Pow) and isinstance(tree.right, ast.Name):
            inner = _sum(tree.left, inputs)
            if len(inner) > 1:
                return _form(text, inner, _name(tree.right))
        return _form(text, _sum(tree, inputs), None)
    except InputError as error:
        raise InputError(f"form = {text!r}: {error}") from None
    except (OverflowError, RecursionError):
        raise InputError(f"form = {text!r}: has numbers or nesting too large to compute") from None


def _form(text: str, terms: list[Term], outer: str | None) -> TextForm:
    if len(terms) > MOST_TERMS:
        raise InputError(f"has {len(terms)} terms, and at most {MOST_TERMS} are allowed")
    parsed: dict[str, Term] = {}
    for term in terms:
        if any(power != 1 for power in term.names.values()) or len(term.names) > 1:
            product = " * ".join(sorted(term.names))
            raise InputError(f"the term with {product} has to have one coefficient, to the power 1")
        name = next(iter(term.names), f"{term.number:g}")
        if name in parsed:
            raise InputError(f"{name} is the coefficient of two terms; give each its own")
        parsed[name] = term
    used = Counter(name for term in terms for power in term.powers.values() for name in set(power) - {""})
    exponents = [name for name in used if name != outer] + ([outer] if outer else [])
    for name in exponents:
        if name in parsed:
            raise InputError(f"{name} is both a coefficient and an exponent")
    if not any(term.powers for term in terms):
        raise InputError(f"has no input; the inputs are {', '.join(INPUTS)}")
    form = TextForm(
        text,
        {name: {} for name in parsed},
        dict.fromkeys(exponents, ()),
        "typed",
        outer=outer,
        parsed=parsed,
        text=text,
    )
    points = GRID_POINTS.get(len(exponents), 3)
    return replace(form, grid={name: _grid(form.bounds[name], points) for name in exponents})


def _grid(bounds: tuple[float, float], points: int) -> tuple[float, ...]:
    """Starts between -1.25 and 1.25, on the side that the bounds allow."""
    low, high = max(bounds[0], -1.25), min(bounds[1], 1.25)
    inside = np.linspace(low, high, points + (low >= 0 or high <= 0))
    return tuple(float(x) for x in inside if x != 0)


def _sum(node: ast.AST, inputs: Collection[str]) -> list[Term]:
    """A formula, multiplied out."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _sum(node.left, inputs) + _sum(node.right, inputs)
    if _is_density(node):
        return [Term(powers={"S": {"": 1.0}})]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _sum(node.left, inputs), _sum(node.right, inputs)
        if len(left) * len(right) > MOST_TERMS:
            raise InputError(f"{ast.unparse(node)!r} has more than {MOST_TERMS} terms when multiplied out")
        return [one.times(other) for one in left for other in right]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        below = _product(node.right, inputs).to({"": -1.0})
        return [one.times(below) for one in _sum(node.left, inputs)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return [_product(node.left, inputs).to(_linear(node.right, inputs))]
    if isinstance(node, ast.Name):
        if node.id == "S":
            raise InputError("S enters as (1-S), since its power would vanish for dense models")
        return [Term(powers={node.id: {"": 1.0}}) if node.id in inputs else Term(names={_name(node): 1.0})]
    if (number := _number(node)) is not None:
        if not 0 < number < np.inf:
            raise InputError(f"{number:g} has to be positive and finite, as all terms are")
        return [Term(number)]
    raise InputError(f"{ast.unparse(node)!r} cannot be read; only + * / ** ( ), numbers, names and (1-S) are allowed")


def _product(node: ast.AST, inputs: Collection[str]) -> Term:
    terms = _sum(node, inputs)
    if len(terms) != 1:
        raise InputError(f"({ast.unparse(node)}) is a sum; only a product can be divided by or raised to a power")
    return terms[0]


def _linear(node: ast.AST, inputs: Collection[str]) -> dict[str, float]:
    """An exponent: linear in names."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return scale(_linear(node.operand, inputs), -1.0)
    if (number := _number(node)) is not None:
        return {"": number}
    if isinstance(node, ast.Name) and node.id not in inputs:
        return {_name(node): 1.0}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign = 1.0 if isinstance(node.op, ast.Add) else -1.0
        return add(_linear(node.left, inputs), scale(_linear(node.right, inputs), sign))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        left, right = _linear(node.left, inputs), _linear(node.right, inputs)
        if set(right) == {""} and right[""] != 0:
            return scale(left, right[""] if isinstance(node.op, ast.Mult) else 1 / right[""])
        if set(left) == {""} and isinstance(node.op, ast.Mult):
            return scale(right, left[""])
    raise InputError(f"the exponent {ast.unparse(node)!r} has to be linear in names, without inputs")


def _name(node: ast.Name) -> str:
    return "lambda" if node.id == LAMBDA else node.id


def _number(node: Any) -> float | None:
    is_number = (
        isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
    )
    return float(node.value) if is_number else None


def _is_density(node: ast.AST) -> bool:
    """Whether a node is 1 - S."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and _number(node.left) == 1
        and isinstance(node.right, ast.Name)
        and node.right.id == "S"
    )
