"""What Table 3 implies, each consequence by a second route."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws import implications as imply
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parametric import Law
from moe_lib.laws.published import ABNAR2025, HOFFMANN2022


def test_slopes_agree_with_finite_differences() -> None:
    n, d, s, h = 2e9, 3e10, 0.75, 1e-6
    found = imply.slopes(ABNAR2025, n, d, s)
    up, down = 1 - (1 - s) * np.exp(-h), 1 - (1 - s) * np.exp(h)
    assert found["N"] == pytest.approx(
        (ABNAR2025.loss(n * np.exp(h), d, s) - ABNAR2025.loss(n * np.exp(-h), d, s)) / (2 * h)
    )
    assert found["D"] == pytest.approx(
        (ABNAR2025.loss(n, d * np.exp(h), s) - ABNAR2025.loss(n, d * np.exp(-h), s)) / (2 * h)
    )
    assert found["S"] == pytest.approx((ABNAR2025.loss(n, d, up) - ABNAR2025.loss(n, d, down)) / (2 * h))


def test_size_and_data_always_help() -> None:
    for n in (1e8, 1e10):
        for s in (0.0, 0.98):
            found = imply.slopes(ABNAR2025, n, 1e10, s)
            assert found["N"] < 0
            assert found["D"] < 0


@pytest.mark.parametrize("s", [0.0, 0.9])
def test_inactivity_helps_above_one_size_and_hurts_below(s: float) -> None:
    threshold = imply.size_where_inactivity_helps(ABNAR2025, s)
    assert imply.slopes(ABNAR2025, threshold * 0.99, 1e10, s)["S"] > 0
    assert imply.slopes(ABNAR2025, threshold * 1.01, 1e10, s)["S"] < 0


def test_a_negative_lambda_does_not_make_sparsity_help_by_itself() -> None:
    assert ABNAR2025.values["lambda"] < 0
    assert imply.slopes(ABNAR2025, 1e9, 2e10, 0.5)["S"] > 0


def test_comparative_statics_are_the_motion_of_the_optimum() -> None:
    n, flops, h = 5e9, 1e21, 1e-3

    def best(size: float, budget: float) -> float:
        return float(-np.log1p(-Budget(ABNAR2025, budget).best_sparsity(size)))

    found = imply.comparative_statics(ABNAR2025, n, -np.expm1(-best(n, flops)), flops)
    assert found["s_in_flops"] == pytest.approx(
        (best(n, flops * np.exp(h)) - best(n, flops * np.exp(-h))) / (2 * h), rel=1e-3
    )
    assert found["s_in_size"] == pytest.approx(
        (best(n * np.exp(h), flops) - best(n * np.exp(-h), flops)) / (2 * h), rel=1e-3
    )
    size = [np.log(float(Budget(ABNAR2025, flops * np.exp(x)).best_size(0.9))) for x in (-h, h)]
    at = imply.comparative_statics(ABNAR2025, float(Budget(ABNAR2025, flops).best_size(0.9)), 0.9, flops)
    assert at["size_in_flops"] == pytest.approx((size[1] - size[0]) / (2 * h), rel=1e-3)


def test_more_compute_at_fixed_size_asks_for_less_sparsity_whatever_the_coefficients() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = {name: abs(value) * rng.uniform(0.3, 3) for name, value in ABNAR2025.values.items()}
        law = type(ABNAR2025)(ABNAR2025.form, values | {"lambda": rng.uniform(-1, 1), "delta": rng.uniform(-1, 1)})
        assert imply.comparative_statics(law, 1e9, 0.5, 1e20)["s_in_flops"] < 0


@pytest.mark.parametrize("convention", ["ideal", "one-embedding", "two-embeddings"])
def test_dense_is_best_below_its_threshold_and_not_above(convention: str) -> None:
    budget = Budget(ABNAR2025, 1e20, convention)  # type: ignore[arg-type]
    threshold = imply.size_for_sparsity(budget, 0.0)
    assert budget.best_sparsity(threshold * 0.95) == 0
    assert budget.best_sparsity(threshold * 1.05) > 0
    assert budget.best_sparsity(imply.size_for_sparsity(budget, 0.98)) == pytest.approx(0.98, abs=1e-4)


def test_the_dense_threshold_rises_with_budget_and_passes_500_million_only_at_the_top() -> None:
    sizes = [imply.size_for_sparsity(Budget(ABNAR2025, flops, "two-embeddings"), 0.0) for flops in imply.BUDGETS]
    assert np.all(np.diff(sizes) > 0)
    assert sizes[-2] < 500e6 < sizes[-1]


def test_exponents_of_size_in_budget_rise_with_sparsity_and_data_takes_the_rest() -> None:
    table = imply.growth_exponents(ABNAR2025, (0.0, 0.9, 0.98))
    assert np.all(np.diff(table["N"]) > 0)
    assert (table["Na"] + table["D"]).to_numpy() == pytest.approx(np.ones(3), abs=1e-9)


def test_the_compute_multiple_of_sparsity_is_paid_by_a_dense_model() -> None:
    multiple = imply.compute_multiple(ABNAR2025, 1e20, 0.9)
    sparse, dense = imply.best_loss(ABNAR2025, 1e20, 0.9), imply.best_loss(ABNAR2025, 1e20 * multiple, 0.0)
    assert sparse == pytest.approx(dense, abs=1e-6)
    assert multiple > 4
    assert imply.compute_multiple(ABNAR2025, 1e20, 0.0) == 1


def test_the_compute_multiple_is_below_one_if_dense_is_better() -> None:
    multiple = imply.compute_multiple(ABNAR2025, 1e13, 0.98, "one-embedding")
    sparse = imply.best_loss(ABNAR2025, 1e13, 0.98, "one-embedding")
    assert sparse > imply.best_loss(ABNAR2025, 1e13, 0.0, "one-embedding")
    assert imply.best_loss(ABNAR2025, 1e13 * multiple, 0.0, "one-embedding") == pytest.approx(sparse, abs=1e-6)
    assert 0.1 < multiple < 1


def test_a_loss_that_dense_models_never_have_has_no_multiple() -> None:
    level = Law(ABNAR2025.form, ABNAR2025.values | {"lambda": -10.0, "c": 10.0})  # no dense budget comes down to it
    assert imply.compute_multiple(level, 1e20, 0.9) == float("inf")
    level = Law(ABNAR2025.form, ABNAR2025.values | {"lambda": 10.0, "c": 1.0})  # nor up to it
    assert np.isnan(imply.compute_multiple(level, 1e20, 0.9))


def test_endless_data_and_parameters_leave_less_loss_to_the_sparse() -> None:
    for s in (0.0, 0.98):
        assert imply.asymptote(ABNAR2025, s) == pytest.approx(float(ABNAR2025.loss(1e200, 1e200, s)), rel=1e-9)
    assert imply.asymptote(ABNAR2025, 0.98) < imply.asymptote(ABNAR2025, 0.0)


def test_the_papers_two_errors_need_many_points_if_the_huber_loss_is_a_sum() -> None:
    residuals = np.random.default_rng(0).standard_t(3, 400) * 0.02
    huber = np.where(np.abs(residuals) <= 1e-3, residuals**2 / 2, 1e-3 * (np.abs(residuals) - 5e-4)).sum()
    assert imply.fewest_points(float(np.mean(residuals**2)), float(huber)) <= 400
    assert imply.fewest_points(0.00056, 0.0036) == pytest.approx(152.1, abs=0.1)
    assert imply.fewest_points(0.0058, 0.0011) == pytest.approx(14.4, abs=0.1)


def test_without_noise_the_law_extrapolates_perfectly_and_noise_adds_an_error() -> None:
    rows = [
        (n, c / (6 * (1 - s) * n), s)
        for c in (1e20, 1e21)
        for s in (0, 0.5, 0.9, 0.95, 0.98)
        for n in np.geomspace(2e8, 1e10, 5)
    ]
    table = pd.DataFrame(rows, columns=["N", "D", "S"])
    assert imply.held_out_errors_expected(ABNAR2025, table, 0.0, times=1)["rmse"].max() < 1e-9
    assert imply.held_out_errors_expected(ABNAR2025, table, 0.003, times=3)["error"].min() > 1e-4
    with pytest.raises(InputError, match=r"S = 0\.97 has to be"):
        imply.held_out_errors_expected(ABNAR2025, table, 0.003, beyond=0.97)


def test_a_law_without_sparsity_is_refused() -> None:
    with pytest.raises(InputError, match="has to be a law in N, D and S"):
        imply.slopes(HOFFMANN2022, 1e9, 1e10, 0.0)


def test_a_budget_moves_what_sparsity_gains_and_not_what_it_costs() -> None:
    small, large = (imply.sparsity_balance(ABNAR2025, 3e9, c, (0.0, 0.5, 0.9)) for c in (1e20, 1e21))
    assert small["cost"].to_numpy() == pytest.approx(large["cost"].to_numpy())
    assert (large["gain"] / small["gain"]).to_numpy() == pytest.approx(10 ** -ABNAR2025.values["beta"])
    best = Budget(ABNAR2025, 1e20).best_sparsity(3e9)
    at_best = imply.sparsity_balance(ABNAR2025, 3e9, 1e20, [float(best)])
    assert at_best["gain"][0] == pytest.approx(at_best["cost"][0], rel=1e-6)
