"""Forms and laws: values as written in print, gradients as finite differences have them."""

import numpy as np
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.basis import Form
from moe_lib.laws.objective import Objective, Problem
from moe_lib.laws.parametric import FORMS, POWER_LAW, Law
from moe_lib.laws.published import ABNAR2025, CLARK2022, FRANTAR2024, HOFFMANN2022, LUDZIEJEWSKI2025, PUBLISHED

RNG = np.random.default_rng(0)
RUNS = {
    "N": np.geomspace(1e8, 1e10, 12),
    "Na": np.geomspace(5e7, 2e9, 12),
    "D": RNG.permutation(np.geomspace(1e9, 1e11, 12)),
    "S": RNG.permutation(np.linspace(0, 0.98, 12)),
    "G": RNG.permutation(np.tile([1.0, 2.0, 4.0], 4)),
    "C": np.geomspace(1e19, 1e21, 12),
}


def starting_point(form: Form) -> np.ndarray:
    """Terms of order one and exponents from the middle of the grid."""
    exponents = np.array([form.grid[name][len(form.grid[name]) // 2] for name in form.exponents]) + 0.01
    logs = form.bind(RUNS).log_terms(exponents)
    return np.concatenate([-logs.mean(axis=1), exponents])


def test_equation_6_with_table_3_is_the_sum_of_its_five_terms() -> None:
    n, d, s = 1e9, 2e10, 0.9
    by_hand = (
        16612.5 / n**0.5962
        + 5455.67 / d**0.3954
        + 0.4598 / (1 - s) ** -0.1666
        + 17.26 / ((1 - s) ** 0.1603 * n**0.1595)
        + 0.94
    )
    assert ABNAR2025.loss(n, d, s) == pytest.approx(by_hand, rel=1e-13)
    assert sum(ABNAR2025.terms(n, d, s).values()) == pytest.approx(by_hand, rel=1e-13)


def test_laws_take_arrays_that_broadcast_and_names() -> None:
    surface = ABNAR2025.loss(np.array([1e9, 2e9])[:, None], 2e10, [0, 0.5, 0.98])
    assert surface.shape == (2, 3)
    assert surface[1, 2] == ABNAR2025.loss(N=2e9, D=2e10, S=0.98)


def test_the_dense_law_of_hoffmann_is_as_printed() -> None:
    assert HOFFMANN2022.loss(70e9, 1.4e12) == pytest.approx(1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28, rel=1e-13)


@pytest.mark.parametrize(
    ("experts", "m", "mu", "n", "nu"),
    [
        (1, 30.3640, -0.1817, 53.9838, -0.1965),
        (8, 21.8330, -0.1676, 119.9126, -0.2338),
        (32, 16.5424, -0.1557, 234.6726, -0.2652),
    ],
)
def test_the_joint_law_agrees_with_its_papers_table_by_number_of_experts(
    experts: int, m: float, mu: float, n: float, nu: float
) -> None:
    by_table = m * 1e9**mu + n * 2e10**nu + 1.3637
    assert LUDZIEJEWSKI2025.loss(Na=1e9, D=2e10, S=1 - 1 / experts) == pytest.approx(by_table, rel=1e-3)


def test_clarks_law_is_bilinear_in_decimal_logarithms() -> None:
    experts = 64.0
    hidden = 1 / (1 / (experts - 1 + 1 / (1 / 1.847 - 1 / 314.478)) + 1 / 314.478)
    n, e = np.log10(370e6), np.log10(hidden)
    by_hand = 10 ** (-0.082 * n - 0.108 * e + 0.009 * n * e + 1.104)
    assert CLARK2022.loss(N=370e6, S=1 - 1 / experts) == pytest.approx(by_hand, rel=1e-12)


def test_frantars_law_is_multiplied_out_correctly() -> None:
    n, d, s = 1e8, 1e10, 0.75
    by_hand = (16.8 * 0.25**0.722 + 45) * (1 / n) ** 0.245 + (6.9e8 / d) ** 0.203 + 0.651
    assert FRANTAR2024.loss(Na=n, D=d, S=s) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("name", list(FORMS))
@pytest.mark.parametrize("objective", ["huber:1e-3", "mse"])
@pytest.mark.parametrize("raw", [False, True])
def test_gradients_agree_with_finite_differences(name: str, objective: str, raw: bool) -> None:
    form = FORMS[name]
    x = starting_point(form)
    problem = Problem(
        form.bind(RUNS),
        len(form.coefficients),
        RNG.uniform(2, 4, 12),
        RNG.uniform(0, 2, 12),
        Objective.parse(objective, raw),
    )
    steps = 1e-6 * np.eye(len(x))
    numeric = [(problem.value(x + h) - problem.value(x - h)) / 2e-6 for h in steps]
    assert problem.value_and_gradient(x)[1] == pytest.approx(np.array(numeric), rel=2e-5, abs=1e-7)
    residuals = [(problem.residuals(x + h) - problem.residuals(x - h)) / 2e-6 for h in steps]
    assert problem.jacobian(x) == pytest.approx(np.array(residuals).T, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("law", PUBLISHED.values(), ids=list(PUBLISHED))
def test_names_in_print_and_internal_parameters_are_the_same_law(law: Law) -> None:
    assert law.form.named(*law.form.internal(law.values)) == pytest.approx(dict(law.values), rel=1e-12)
    assert law.source


def test_a_power_law_has_size_for_its_target() -> None:
    assert Law(POWER_LAW, {"k": 0.1, "a": 0.5}).loss(C=1e20) == pytest.approx(1e9)
    assert POWER_LAW.target == "N"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ((1e9, 2e10, 1.0), r"S = 1 has to be in \[0, 1\)"),
        ((0, 2e10, 0.5), "N = 0 has to be positive"),
        ((1e9, np.nan, 0.5), "D = nan has to be positive"),
        ((1e9, 2e10), "S: the law takes N, D, S"),
    ],
)
def test_a_law_rejects_values_outside_its_domain(inputs: tuple[float, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ABNAR2025.loss(*inputs)
