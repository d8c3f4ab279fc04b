"""Surfaces: exact on polynomials, marked if they extrapolate."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.isoflop import choose_degrees, cross_validate, fit_surface, random_refits
from moe_lib.laws.parabola import parabolas
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


def test_if_less_sparsity_is_always_better_the_dense_model_is_named(runs: pd.DataFrame) -> None:
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
    found = random_refits(noisy, times=100)
    assert len(found) == 100
    assert found["rmse"].mean() == pytest.approx(0.0105, rel=0.15)
    assert found["r"].min() > 0.9  # high although the noise is there: r says little


def test_the_chosen_degrees_are_the_fewest_that_the_runs_support() -> None:
    rng = np.random.default_rng(0)
    n, s = (grid.ravel() for grid in np.meshgrid(18 + np.linspace(-2, 2, 7), -np.log1p(-np.array([0, 0.5, 0.9, 0.98]))))
    loss = 3 + 0.1 * (n - 18) ** 2 + 0.02 * (n - 18) ** 3 - 0.1 * s
    table = pd.DataFrame({"N": np.exp(n), "S": -np.expm1(-s), "L": loss + 0.003 * rng.standard_normal(len(n))})
    assert choose_degrees(table) == (3, 1, 0)


def test_more_terms_than_runs_are_refused(runs: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="need at least 7 runs, but there are 5"):
        fit_surface(runs.iloc[:5])
