"""Optima: exact, on the law's own terms, under three conventions of active parameters."""

import numpy as np
import pytest

from moe_lib.accounting import CONVENTIONS, Convention, count_parameters
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.laws.optimum import Budget, optimum, short_sparsity
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024, CLARK2022, FRANTAR2024, HOFFMANN2022, KRAJEWSKI2024
from moe_lib.laws.shapes import active_params
from moe_lib.paper import BUDGETS, SPARSITIES


def of_the_family(width: int, experts: int, tied_embeddings: bool) -> ModelConfig:
    return ModelConfig(
        d_model=width,
        n_layers=width // 64,
        n_heads=width // 64,
        n_experts=experts,
        vocab_size=50_432,
        context_length=2048,
        tied_embeddings=tied_embeddings,
    )


@pytest.mark.parametrize("convention", ["one-embedding", "two-embeddings"])
@pytest.mark.parametrize("experts", [1, 10, 50])
def test_the_family_of_shapes_counts_as_the_accounting_does(convention: Convention, experts: int) -> None:
    model = of_the_family(1024, experts, tied_embeddings=convention == "one-embedding")
    counts = count_parameters(model)
    assert active_params(counts.total, model.sparsity, convention) == pytest.approx(counts.active, rel=1e-3)


def test_active_share_at_98_percent_is_what_real_shapes_have() -> None:
    for width, share in ((512, 0.065), (2048, 0.029)):
        total = count_parameters(of_the_family(width, 50, tied_embeddings=False)).total
        assert active_params(total, 0.98, "two-embeddings") / total == pytest.approx(share, abs=5e-4)


def test_a_dense_optimum_is_the_closed_form_of_hoffmann() -> None:
    v, flops = BESIROGLU2024.values, 1e21
    ratio = v["alpha"] * v["a"] / (v["beta"] * v["b"])
    expected = (ratio * (flops / 6) ** v["beta"]) ** (1 / (v["alpha"] + v["beta"]))
    found = optimum(BESIROGLU2024, flops)
    assert found.n_params == pytest.approx(expected, rel=1e-6)
    assert (found.sparsity, found.band) == (0, (0, 0))
    assert 6 * found.n_params * found.n_tokens == pytest.approx(flops)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_optima_are_not_beaten_by_a_fine_grid(convention: Convention) -> None:
    budget = Budget(ABNAR2025, 1e20, convention)
    sizes = np.geomspace(1e7, 1e12, 4001)
    for s in SPARSITIES:
        assert budget.loss(budget.best_size(s), s) <= budget.loss(sizes, s).min() + 1e-12
    hidden = -np.expm1(-np.linspace(0, 8, 4001))
    for n in (1e8, 1e9, 1e10):
        assert budget.loss(n, budget.best_sparsity(n)) <= budget.loss(n, hidden).min() + 1e-12


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_best_size_rises_with_sparsity(convention: Convention) -> None:
    assert np.all(np.diff(Budget(ABNAR2025, 1e20, convention).best_size(SPARSITIES)) > 0)


def test_best_active_size_falls_with_sparsity() -> None:
    budget = Budget(ABNAR2025, 1e20)
    assert np.all(np.diff(budget.active(budget.best_size(SPARSITIES), SPARSITIES)) < 0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_optimal_sparsity_at_fixed_size_falls_with_budget(convention: Convention) -> None:
    best = [float(Budget(ABNAR2025, flops, convention).best_sparsity(3e9)) for flops in BUDGETS]
    assert np.all(np.diff(best) < 0)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_optimal_sparsity_at_fixed_budget_rises_with_size(convention: Convention) -> None:
    assert np.all(np.diff(Budget(ABNAR2025, 1e20, convention).best_sparsity(np.geomspace(5e8, 1e11, 9))) > 0)


def test_a_bound_on_size_binds_and_the_budget_is_spent() -> None:
    found = optimum(ABNAR2025, 1e21, max_params=15e9)
    assert found.n_params == pytest.approx(15e9)
    assert found.sparsity == pytest.approx(optimum(ABNAR2025, 1e21, n_params=15e9).sparsity, abs=1e-6)
    assert 6 * found.n_params_active * found.n_tokens == pytest.approx(1e21)
    assert found.warnings == ()


def test_the_band_holds_what_loses_less_than_a_hundredth() -> None:
    found, budget = optimum(ABNAR2025, 1e21, n_params=5e9), Budget(ABNAR2025, 1e21)
    assert found.band[0] < found.sparsity < found.band[1]
    assert budget.loss(5e9, np.array(found.band)) == pytest.approx(found.loss + 0.01, abs=1e-9)


def test_leaving_the_data_is_said() -> None:
    said = " ".join(optimum(ABNAR2025, 1e21, convention="two-embeddings").warnings)
    assert "is above 0.98, the sparsest that the law was fitted on" in said
    assert "is above 1.5e+10, the largest that the law was fitted on" in said
    assert "taking active parameters away" in " ".join(optimum(ABNAR2025, 1e22, sparsity=0.0).warnings)


def test_a_law_warns_below_and_above_its_data() -> None:
    for flops, said in (
        (1e5, "C = 1e+05 is below 3e+19, the smallest"),
        (1e45, "C = 1e+45 is above 1e+21, the largest"),
    ):
        assert said in " ".join(optimum(ABNAR2025, flops).warnings)
    assert "smaller than a language model is" in " ".join(optimum(FRANTAR2024, 1e5).warnings)
    assert "D = " in " ".join(optimum(HOFFMANN2022, 1e45).warnings)


def test_a_sparsity_or_size_that_was_chosen_is_not_an_end_of_the_search() -> None:
    said = " ".join(
        optimum(ABNAR2025, 1e20, sparsity=1 - 1e-9).warnings + optimum(ABNAR2025, 1e20, n_params=1e5).warnings
    )
    assert "end of the search" not in said
    assert "end of the search" in " ".join(optimum(ABNAR2025, 1e5).warnings)


def test_a_sparsity_close_to_one_is_not_written_as_one() -> None:
    assert short_sparsity(1 - 1e-9) == "1 - 1e-09"
    assert short_sparsity(0.98) == "0.98"


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InputError, match="flops = 0 has to be positive"):
        optimum(ABNAR2025, 0)
    with pytest.raises(InputError, match="params = 10 has to be between"):
        optimum(ABNAR2025, 1e20, n_params=10)
    with pytest.raises(InputError, match="params cannot be given together"):
        optimum(ABNAR2025, 1e20, n_params=1e9, max_params=1e9)
    with pytest.raises(InputError, match=r"sparsity = 1 has to be in \[0, 1\)"):
        optimum(ABNAR2025, 1e20, sparsity=1.0)
    with pytest.raises(
        InputError, match=r"sparsity = 0\.9 has to be 0 or left out: chinchilla is a law of dense models"
    ):
        optimum(HOFFMANN2022, 1e21, sparsity=0.9)
    for law in (CLARK2022, KRAJEWSKI2024):
        with pytest.raises(InputError, match="has no optimum of a budget"):
            optimum(law, 1e20)
