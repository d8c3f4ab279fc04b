"""Uncertainty comes from resampling, and covers what it claims to cover."""

from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.identification import not_identified
from moe_lib.laws.parametric import CHINCHILLA, SPARSITY, SPARSITY_NO_C, Law
from moe_lib.laws.polish import polish
from moe_lib.laws.profiles import interval, profile
from moe_lib.laws.published import ABNAR2025
from moe_lib.laws.solver import Fit, fit
from moe_lib.laws.uncertainty import bootstrap, condition_number, standard_errors
from moe_lib.laws.validation import compare, grow, leave_out

TRUTH = Law(CHINCHILLA, {"a": 400.0, "b": 2000.0, "e": 1.8, "alpha": 0.35, "beta": 0.37})


def dense_runs(noise: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame(
        [(n, d) for n in np.geomspace(5e7, 1e10, 8) for d in np.geomspace(1e9, 3e11, 8)], columns=["N", "D"]
    )
    return runs.assign(L=TRUTH.loss(runs["N"], runs["D"]) * np.exp(noise * rng.standard_normal(len(runs))))


@pytest.fixture(scope="module")
def dense_fit() -> Fit:
    return fit(CHINCHILLA, dense_runs(0.005), "mse")


def test_bootstrap_profile_and_local_errors_agree_if_all_are_valid(dense_fit: Fit) -> None:
    drawn = bootstrap(dense_fit, 200)
    local = standard_errors(dense_fit)
    for name in ("alpha", "beta"):
        assert drawn.table[name].std() == pytest.approx(local[name], rel=0.35)
        curve = profile(dense_fit, name, points=41)
        inside = curve.loc[curve["inside"], name]
        assert (inside.max() - inside.min()) / 2 == pytest.approx(1.96 * local[name], rel=0.25)
        low, high = drawn.intervals()[name]
        assert low < TRUTH.values[name] < high


def test_bootstrap_errors_are_the_spread_over_new_experiments(dense_fit: Fit) -> None:
    again = [fit(CHINCHILLA, dense_runs(0.005, seed), "mse", polishes=1).coefficients["alpha"] for seed in range(40)]
    assert bootstrap(dense_fit, 100).table["alpha"].std() == pytest.approx(float(np.std(again)), rel=0.4)


def test_resampling_whole_clusters_widens_what_clusters_share() -> None:
    runs = dense_runs(0.0)
    luck = 0.01 * np.random.default_rng(3).standard_normal(8)
    labels = np.repeat(np.arange(8), 8)
    fitted = fit(CHINCHILLA, runs.assign(L=runs["L"] * np.exp(luck[labels])), "mse")
    alone, together = bootstrap(fitted, 100), bootstrap(fitted, 100, cluster=labels)
    assert together.table["e"].std() != pytest.approx(alone.table["e"].std(), rel=1e-3)


@pytest.mark.parametrize("labels", [["a"] * 62 + [None, "b"], ["a"] * 62 + [np.nan, "b"], [0] * 62 + [np.nan, 1]])
def test_a_run_without_a_cluster_is_refused(labels: list[object], dense_fit: Fit) -> None:
    with pytest.raises(InputError, match="cluster: run 63 has no label"):
        bootstrap(dense_fit, 2, cluster=labels)


def test_the_number_of_processes_changes_nothing(dense_fit: Fit) -> None:
    assert np.array_equal(bootstrap(dense_fit, 8, seed=5).x, bootstrap(dense_fit, 8, seed=5, workers=2).x)


def test_a_profile_is_lowest_at_the_fit_and_never_below(dense_fit: Fit) -> None:
    curve = profile(dense_fit, "beta")
    assert curve["objective"].min() == pytest.approx(dense_fit.minimum, rel=1e-9)
    assert curve["statistic"].iloc[0] > 3.84 < curve["statistic"].iloc[-1]
    with pytest.raises(InputError, match="exponent = 'gamma' has to be one of alpha, beta"):
        profile(dense_fit, "gamma")


def test_a_profile_interval_ends_where_the_statistic_crosses_the_limit(dense_fit: Fit) -> None:
    coarse, fine = (profile(dense_fit, "beta", points=points) for points in (15, 201))
    assert interval(coarse, "beta") == pytest.approx(interval(fine, "beta"), rel=1e-3)
    low, high = interval(coarse, "beta")
    assert low is not None
    assert high is not None
    inside = coarse.loc[coarse["inside"], "beta"]
    assert low < inside.min() < inside.max() < high
    assert interval(coarse[coarse["inside"]], "beta") == (None, None)


def test_a_well_designed_fit_is_identified_and_well_conditioned(dense_fit: Fit) -> None:
    assert not_identified(dense_fit) == {}
    assert condition_number(dense_fit) < 1e3


@pytest.fixture(scope="module")
def noisy_fit(noisy_runs: pd.DataFrame) -> Fit:
    return fit(SPARSITY, noisy_runs, polishes=4)


def test_equation_6_does_not_identify_its_constants_from_noisy_runs(noisy_fit: Fit) -> None:
    fitted = noisy_fit
    assert {"c", "e", "lambda"} & not_identified(fitted).keys()
    assert condition_number(fitted) > 1e3
    assert fitted.minimum / fitted.n < 1e-5  # the fit itself is as good as the noise


def test_resamples_of_a_lost_constant_know_that_it_may_come_back(noisy_fit: Fit) -> None:
    drawn = bootstrap(noisy_fit, 12)
    low, high = drawn.intervals()["e"]
    assert high - low > 0.05


def test_a_profile_brings_back_what_the_fit_has_lost(table3_runs: pd.DataFrame) -> None:
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(table3_runs)))
    fitted = fit(SPARSITY, table3_runs.assign(L=table3_runs["L"] * noise), polishes=4)
    assert fitted.coefficients["e"] < 1e-3  # this noise makes the fit lose its constant
    curve = profile(fitted, "lambda", points=13)
    row = curve.iloc[(curve["lambda"] - ABNAR2025.values["lambda"]).abs().argmin()]
    coefficients, exponents = SPARSITY.internal(ABNAR2025.values | {"lambda": float(row["lambda"])})
    start = np.concatenate([np.log(coefficients), exponents])
    free = np.array([name != "lambda" for name in SPARSITY.coefficients + SPARSITY.exponents])
    from_truth = polish(fitted.problem, start, free).minimum
    assert row["objective"] <= from_truth * (1 + 1e-3)


def test_held_out_errors_of_the_true_form_are_the_noise(noisy_runs: pd.DataFrame) -> None:
    fitted = fit(SPARSITY_NO_C, noisy_runs, polishes=4)
    by_sparsity = leave_out(fitted, noisy_runs["S"])
    assert list(by_sparsity["left_out"]) == [0, 0.25, 0.5, 0.75, 0.9, 0.95]
    assert list(by_sparsity["beyond"]) == [True, False, False, False, False, True]
    assert by_sparsity["rmse"].max() < 0.02
    with pytest.raises(InputError, match="fewer than the 8 coefficients"):
        leave_out(fitted, np.arange(270) < 265)


def test_a_form_in_sparsity_wins_on_sparse_runs(noisy_runs: pd.DataFrame) -> None:
    table = compare([SPARSITY_NO_C, CHINCHILLA], noisy_runs, folds=5)
    assert list(table["law"]) == ["sparsity-no-c", "chinchilla"]
    assert table["delta_aic"].iloc[0] == 0
    assert table["cv_rmse"].iloc[1] > 3 * table["cv_rmse"].iloc[0]


def test_the_published_standard_errors_of_chinchilla_come_back(epoch_fits: ModuleType) -> None:
    errors = epoch_fits.epoch(resamples=200, workers=1)["standard_errors"]
    for name in ("alpha", "beta", "e"):
        assert errors["ours"][name] == pytest.approx(errors["published"][name], rel=0.2), name


def test_an_ordered_hold_out_grows_and_says_how_far_it_reaches(dense_fit: Fit) -> None:
    table = grow(dense_fit, dense_fit.columns["D"])
    assert (table["distance"] > 1).all()
    assert table["up_to"].is_monotonic_increasing
    last = table.iloc[-1]
    assert (last["n_fitted"], last["n"]) == (56, 8)
    assert last["rmse"] < 0.02
    with pytest.raises(InputError, match="nothing can be held out"):
        grow(dense_fit, np.ones(dense_fit.n))
