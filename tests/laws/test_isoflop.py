"""Surfaces and parabolas: exact on polynomials, marked where they extrapolate."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.isoflop import (
    choose_degrees,
    cross_validate,
    fit_surface,
    gains_over_dense,
    parabola_bias,
    parabola_scatter,
    parabolas,
    refit,
)
from moe_lib.laws.optimum import Budget
from moe_lib.laws.published import ABNAR2025
from moe_lib.paper import SPARSITIES


def quadratic(n: np.ndarray, s: np.ndarray) -> np.ndarray:
    """A surface of degrees (2, 2, 2) whose vertex in n is 20 + s / 2 at s = 0 and moves with s."""
    return 0.05 * n**2 - 2 * n + 0.03 * s**2 - 0.4 * s + 1e-3 * n * s + 1e-5 * (n * s) ** 2 + 30


@pytest.fixture
def runs() -> pd.DataFrame:
    rows = [(n, s) for s in SPARSITIES for n in np.geomspace(1e7, 1e11, 12)]
    table = pd.DataFrame(rows, columns=["N", "S"])
    return table.assign(L=quadratic(np.log(table["N"]), -np.log1p(-table["S"])), Na=(1 - table["S"]) * table["N"])


def test_a_polynomial_of_the_papers_degrees_comes_back(runs: pd.DataFrame) -> None:
    surface = fit_surface(runs)
    assert surface.rmse < 1e-10
    s = -np.log1p(-0.9)
    vertex = (2 - 1e-3 * s) / (2 * (0.05 + 1e-5 * s**2))
    found = surface.best_size([0.0, 0.9]).set_index("S")
    assert np.log(found.loc[0.9, "N"]) == pytest.approx(vertex, rel=1e-8)
    assert np.log(found.loc[0.0, "N"]) == pytest.approx(20, rel=1e-8)
    assert list(found["place"]) == ["inside", "inside"]


def test_a_vertex_outside_the_grid_is_marked(runs: pd.DataFrame) -> None:
    small = runs[runs["N"] < 1e8]
    assert set(fit_surface(small).best_size([0.0, 0.9])["place"]) == {"outside"}
    assert set(parabolas(small)["place"]) == {"outside"}
    assert parabolas(small)["bracketed"].max() == 0


def test_where_less_sparsity_is_always_better_the_dense_model_is_named(runs: pd.DataFrame) -> None:
    worse = runs.assign(L=(np.log(runs["N"]) - 20) ** 2 - 0.5 * np.log1p(-runs["S"]))
    found = fit_surface(worse).best_sparsity([1e9])
    assert (found.loc[0, "S"], found.loc[0, "place"]) == (0.0, "dense")


def test_the_surface_of_active_parameters_is_another_one(runs: pd.DataFrame) -> None:
    surface = fit_surface(runs, degrees=(2, 2, 2), size="Na")
    assert "Na" in surface.best_size([0.5])
    assert surface.loss(5e8, 0.5) == pytest.approx(float(quadratic(np.log(1e9), np.log(2.0))), abs=0.05)


def test_cross_validation_prefers_the_degrees_that_made_the_data(runs: pd.DataFrame) -> None:
    noisy = runs.assign(L=runs["L"] + 1e-3 * np.random.default_rng(0).standard_normal(len(runs)))
    table = cross_validate(noisy)
    assert len(table) == 125
    assert bool(table.loc[table["degrees"] == (2, 2, 2), "within_one_se"].iloc[0])
    assert not table.loc[table["degrees"] == (1, 1, 1), "within_one_se"].iloc[0]
    assert table["mse"].is_monotonic_increasing


def test_refits_to_pure_noise_have_the_error_of_the_noise(runs: pd.DataFrame) -> None:
    noisy = runs.assign(L=runs["L"] + 0.01 * np.random.default_rng(0).standard_normal(len(runs)))
    found = refit(noisy, times=100)
    assert len(found) == 100
    assert found["rmse"].mean() == pytest.approx(0.0105, rel=0.15)
    assert found["r"].min() > 0.9  # high although the noise is there: r says little


def test_the_chosen_degrees_are_the_fewest_that_the_runs_support() -> None:
    rng = np.random.default_rng(0)
    n, s = (grid.ravel() for grid in np.meshgrid(18 + np.linspace(-2, 2, 7), -np.log1p(-np.array([0, 0.5, 0.9, 0.98]))))
    loss = 3 + 0.1 * (n - 18) ** 2 + 0.02 * (n - 18) ** 3 - 0.1 * s
    table = pd.DataFrame({"N": np.exp(n), "S": -np.expm1(-s), "L": loss + 0.003 * rng.standard_normal(len(n))})
    assert choose_degrees(table) == (3, 1, 0)


def test_parabolas_find_the_vertex_of_each_sparsity_and_budget() -> None:
    rows = [
        (n, s, c, 3 + 0.1 * (np.log(n) - np.log(at)) ** 2)
        for s, c, at in ((0.0, 1e19, 5e8), (0.9, 1e19, 2e9), (0.0, 1e20, 1e9))
        for n in at * np.geomspace(0.1, 12, 8)
    ]
    found = parabolas(pd.DataFrame(rows, columns=["N", "S", "C", "L"]))
    assert found["N"].to_numpy() == pytest.approx([5e8, 1e9, 2e9], rel=1e-6)
    assert found["L"].to_numpy() == pytest.approx([3, 3, 3])
    assert np.all(found["low"] <= found["N"] * (1 + 1e-6))
    assert np.all(found["high"] >= found["N"] * (1 - 1e-6))


def test_intervals_of_vertices_cover_the_truth_of_noisy_runs() -> None:
    rng, hits = np.random.default_rng(0), 0
    n = np.geomspace(1e8, 1e10, 12)
    for _ in range(40):
        table = pd.DataFrame({"N": n, "S": 0.0, "L": 3 + 0.1 * np.log(n / 1e9) ** 2 + 0.01 * rng.standard_normal(12)})
        row = parabolas(table, resamples=100).iloc[0]
        hits += row["low"] <= 1e9 <= row["high"]
    assert hits >= 30


def test_with_known_noise_the_intervals_of_few_sizes_cover_the_truth() -> None:
    rng, hits, floors, widths = np.random.default_rng(0), 0, 0, []
    n = np.geomspace(1e8, 1e10, 6)
    for _ in range(60):
        table = pd.DataFrame({"N": n, "S": 0.0, "L": 3 + 0.1 * np.log(n / 1e9) ** 2 + 0.01 * rng.standard_normal(6)})
        row = parabolas(table, resamples=100, noise=0.01).iloc[0]
        hits += row["low"] <= 1e9 <= row["high"]
        floors += row["L_low"] <= 3 <= row["L_high"]
        widths.append(np.log(row["high"] / row["low"]))
    assert 50 <= min(hits, floors) < 60  # of 60; an interval that always covers is too wide
    assert max(widths) < 3 * min(widths)


def test_a_parabola_is_biased_on_noise_free_losses_and_more_so_off_centre() -> None:
    budget = Budget(ABNAR2025, 1e20)
    centred, off = (abs(parabola_bias(budget, 0.0, offset, 16)) for offset in (1.0, 4.0))
    assert 1e-4 < centred < off
    assert off > 0.1


def test_gains_over_dense_have_the_errors_of_both_fits() -> None:
    fits = pd.DataFrame({"S": [0.0, 0.9], "L": [3.3, 3.1], "L_low": [3.27, 3.06], "L_high": [3.33, 3.14]})
    found = gains_over_dense(fits)
    assert found["gain"].to_numpy() == pytest.approx([0, 0.2])
    assert found["error"].iloc[1] == pytest.approx(0.05)
    with pytest.raises(InputError, match="needs one fit at S = 0, here are 0"):
        gains_over_dense(fits.iloc[1:])


def test_an_interval_without_resamples_says_nothing_of_a_bracket() -> None:
    n = np.geomspace(1e8, 1e10, 5)
    table = pd.DataFrame({"N": n, "S": 0.0, "L": 3 + 0.1 * np.log(n / 1e9) ** 2})
    assert parabolas(table, resamples=0)["bracketed"].iloc[0] == 0


def test_the_scatter_about_parabolas_is_the_noise_that_was_put_in() -> None:
    rng, n = np.random.default_rng(0), np.geomspace(1e8, 1e10, 30)
    table = pd.concat(
        pd.DataFrame({"N": n, "S": s, "L": 3 - s + 0.1 * np.log(n / 1e9) ** 2 + 0.02 * rng.standard_normal(30)})
        for s in (0.0, 0.5, 0.9)
    )
    assert parabola_scatter(table) == pytest.approx(0.02, rel=0.2)
    with pytest.raises(InputError, match="3 runs leave nothing"):
        parabola_scatter(table.iloc[:3])


def test_a_parabola_through_two_sizes_is_refused() -> None:
    with pytest.raises(InputError, match=r"S = 0\.5: a parabola needs three sizes"):
        parabolas(pd.DataFrame({"N": [1e8, 1e9, 1e9], "S": 0.5, "L": [3.0, 2.9, 2.9]}))


def test_more_terms_than_runs_are_refused(runs: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="need at least 7 runs, here are 5"):
        fit_surface(runs.iloc[:5])
