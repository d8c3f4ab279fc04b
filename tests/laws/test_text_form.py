"""Forms written as text: the same law as the built-in one, and nothing but formulas is accepted."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.parametric import CHINCHILLA, KAPLAN, SPARSITY, Law
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024, KRAJEWSKI2024
from moe_lib.laws.solver import fit
from moe_lib.laws.text_form import parse_form

INPUTS = {"N": np.array([1e8, 2e9]), "D": np.array([3e9, 4e10]), "S": np.array([0.5, 0.9]), "G": np.array([1.0, 4.0])}


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("e + a / N**alpha + b / D**beta", BESIROGLU2024),
        ("a * N**-alpha + D**(-beta) * b + e", BESIROGLU2024),
        ("a/N**alpha + b/D**beta + c/(1-S)**lambda + d/((1-S)**delta * N**gamma) + e", ABNAR2025),
        ("c + (g / G**gamma + a) / N**alpha + b / D**beta", KRAJEWSKI2024),
    ],
)
def test_a_printed_formula_is_the_law_itself(text: str, law: Law) -> None:
    form = parse_form(text)
    inputs = {name: INPUTS[name] for name in law.form.inputs}
    assert set(form.inputs) == set(law.form.inputs)
    assert Law(form, law.values).loss(**inputs) == pytest.approx(law.loss(**inputs), rel=1e-12)


def test_numbers_may_replace_coefficients_and_exponents() -> None:
    form = parse_form("1.5 + a / N**0.5 + 20 * b / (N * D)**(x/2)")
    values = {"1.5": 1.0, "a": 3000.0, "b": 2.0, "x": 0.3}
    by_hand = 1.5 + 3000 / INPUTS["N"] ** 0.5 + 40 / (INPUTS["N"] * INPUTS["D"]) ** 0.15
    assert Law(form, values).loss(N=INPUTS["N"], D=INPUTS["D"]) == pytest.approx(by_hand, rel=1e-12)
    assert form.bounds["1.5"] == (1, 1)
    assert form.constants == {"1.5"}


def test_a_sum_to_a_power_is_kaplans_law() -> None:
    truth = Law(KAPLAN, {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103})
    n, d = INPUTS["N"], INPUTS["D"]
    by_hand = ((6.4e13 / n) ** (0.076 / 0.103) + 1.8e13 / d) ** 0.103
    assert truth.loss(n, d) == pytest.approx(by_hand, rel=1e-12)
    form = parse_form("(a / N**p + b / D)**q")
    p = 0.076 / 0.103
    typed = Law(form, {"a": 6.4e13**p, "b": 1.8e13, "p": p, "q": 0.103})
    assert typed.loss(N=n, D=d) == pytest.approx(by_hand, rel=1e-12)


@pytest.fixture(scope="module")
def dense_runs() -> pd.DataFrame:
    rows = [(n, d) for n in np.geomspace(5e7, 1e10, 6) for d in np.geomspace(1e9, 3e11, 6)]
    return pd.DataFrame(rows, columns=["N", "D"])


def test_a_typed_form_is_fitted_as_the_built_in_one(dense_runs: pd.DataFrame) -> None:
    runs = dense_runs.assign(L=BESIROGLU2024.loss(dense_runs["N"], dense_runs["D"]))
    typed = fit(parse_form("e + a / N**alpha + b / D**beta"), runs, polishes=4)
    assert typed.coefficients == pytest.approx(BESIROGLU2024.values, rel=1e-5)


def test_kaplans_law_comes_back_built_in_and_typed(dense_runs: pd.DataFrame) -> None:
    truth = {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}
    runs = dense_runs.assign(L=Law(KAPLAN, truth).loss(dense_runs["N"], dense_runs["D"]))
    assert fit(KAPLAN, runs, polishes=4).coefficients == pytest.approx(truth, rel=1e-3)
    typed = fit(parse_form("(a / N**p + b / D**r)**q"), runs, polishes=4).coefficients
    assert typed["p"] * typed["q"] == pytest.approx(0.076, rel=1e-3)
    assert typed["r"] * typed["q"] == pytest.approx(0.103, rel=1e-3)


def test_equation_6_typed_and_built_in_have_the_same_bounds_and_inputs() -> None:
    form = parse_form("a/N**alpha + b/D**beta + c/(1-S)**lambda + d/((1-S)**delta * N**gamma) + e")
    assert {name: form.bounds[name] for name in SPARSITY.exponents} == SPARSITY.bounds
    assert form.constants == SPARSITY.constants == {"e"}
    assert CHINCHILLA.constants == {"e"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("e +", "is not a formula"),
        ("__import__('os').system('true')", "cannot be read; only"),
        ("e + a.b", "cannot be read; only"),
        ("e + [N]", "cannot be read; only"),
        ("e + a/N**alpha - b", "cannot be read; only"),
        ("e + (a/N)**alpha", r"write a / N\*\*alpha, not"),
        ("e + a*b/N**alpha", r"the term with a \* b has to have one coefficient"),
        ("a/N**x + a/D**y", "a is the coefficient of two terms"),
        ("a + b/N**a", "a is both a coefficient and an exponent"),
        ("e + a/S**x", r"S enters as \(1-S\)"),
        ("e + a", "has no input"),
        ("e + a/N**(x*y)", "has to be linear in names"),
        ("e + a/N**(x/0)", "has to be linear in names"),
        ("e + a/N**D", "has to be linear in names"),
        ("e + a/(N + D)", "is a sum; only a product"),
        ("e + 0*a/N**x", "0 has to be positive"),
        ("1e308**9 * a/N**x", "too large to compute"),
        ("(a+b)*(c+d)*(f+g)*(h+i)/N**x", "more than 8 terms"),
        ("(" * 500 + "N" + ")" * 500, "form = "),
    ],
)
def test_what_is_not_a_form_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_form(text)
