"""The solver: exact on data it must know exactly, never above what others found."""

import time
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from moe_lib.errors import InputError
from moe_lib.laws.objective import Objective
from moe_lib.laws.parametric import CHINCHILLA, JOINT_MOE, POWER_LAW, SPARSITY, SPARSITY_NO_C, Law
from moe_lib.laws.published import ABNAR2025, LUDZIEJEWSKI2025
from moe_lib.laws.solver import fit, nonnegative_least_squares
from moe_lib.paper import TABLE2


def test_all_ten_coefficients_of_table_3_come_back(table3_runs: pd.DataFrame) -> None:
    fitted = fit(SPARSITY, table3_runs)
    assert fitted.n == 270
    assert fitted.coefficients == pytest.approx(ABNAR2025.values, rel=1e-6)
    assert 2 <= fitted.agreeing_starts <= fitted.starts


def test_every_exponent_cell_of_table_2_is_covered(table3_runs: pd.DataFrame) -> None:
    fitted = fit(SPARSITY, table3_runs, grid=TABLE2, polishes=6)
    assert fitted.cells == 6**3 * 5**2 == 5_400
    assert fitted.coefficients == pytest.approx(ABNAR2025.values, rel=1e-6)


def test_a_fit_to_300_noisy_runs_takes_seconds(noisy_runs: pd.DataFrame) -> None:
    start = time.process_time()
    fit(SPARSITY, noisy_runs)
    assert time.process_time() - start < 10


@pytest.mark.parametrize("objective", ["huber:1e-3", "mse"])
@pytest.mark.parametrize("raw", [False, True])
def test_every_objective_finds_a_law_that_fits_exactly(objective: str, raw: bool, table3_runs: pd.DataFrame) -> None:
    truth = Law(CHINCHILLA, {"a": 400.0, "b": 2000.0, "e": 1.7, "alpha": 0.34, "beta": 0.37})
    runs = {"N": table3_runs["N"], "D": table3_runs["D"], "L": truth.loss(table3_runs["N"], table3_runs["D"])}
    fitted = fit(CHINCHILLA, runs, objective, raw=raw)
    assert fitted.coefficients == pytest.approx(truth.values, rel=1e-5)


def test_the_saturating_joint_law_comes_back_too() -> None:
    rows = [
        (n, d, 1 - 1 / e)
        for n in np.geomspace(1e8, 3e9, 5)
        for d in np.geomspace(2e9, 1e11, 5)
        for e in (1, 2, 4, 8, 16, 32)
    ]
    runs = pd.DataFrame(rows, columns=["Na", "D", "S"])
    fitted = fit(JOINT_MOE, runs.assign(L=LUDZIEJEWSKI2025.loss(runs["Na"], runs["D"], runs["S"])), polishes=4)
    assert fitted.coefficients == pytest.approx(LUDZIEJEWSKI2025.values, rel=1e-4)


def test_a_power_law_of_optimal_sizes_comes_back() -> None:
    flops = np.geomspace(1e19, 1e21, 6)
    assert fit(POWER_LAW, {"C": flops, "N": 0.09 * flops**0.5}).coefficients == pytest.approx(
        {"k": 0.09, "a": 0.5}, rel=1e-8
    )


def test_a_term_that_the_data_lack_is_left_at_nothing(table3_runs: pd.DataFrame) -> None:
    values = {name: value for name, value in ABNAR2025.values.items() if name not in ("c", "lambda")}
    runs = table3_runs.assign(L=Law(SPARSITY_NO_C, values).loss(table3_runs["N"], table3_runs["D"], table3_runs["S"]))
    fitted = fit(SPARSITY, runs)
    assert fitted.objective < 1e-12
    assert {name: fitted.coefficients[name] for name in ("alpha", "beta", "gamma")} == pytest.approx(
        {name: values[name] for name in ("alpha", "beta", "gamma")}, rel=1e-3
    )


def test_the_batch_of_small_least_squares_agrees_with_scipys() -> None:
    rng = np.random.default_rng(0)
    rows, target = rng.uniform(0, 1, (40, 4, 30)) * [[[1.0], [100.0], [1e-3], [5.0]]], rng.normal(1, 1, 30)
    coefficients, error = nonnegative_least_squares(rows, target)
    for cell in range(40):
        expected, norm = nnls(rows[cell].T, target)
        assert coefficients[cell] == pytest.approx(expected, rel=1e-6, abs=1e-8)
        assert error[cell] == pytest.approx(norm**2, rel=1e-9)


def test_fewer_runs_than_coefficients_are_refused(table3_runs: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="sparsity has 10 coefficients and needs at least 10 runs, here are 9"):
        fit(SPARSITY, table3_runs.iloc[:9])


@pytest.mark.parametrize("text", ["huber", "huber:0", "huber:-1", "huber:x", "mae", "mse:2", "huber:inf", "huber:nan"])
def test_an_objective_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="has to be huber:DELTA"):
        Objective.parse(text)


# Data that nobody here produced. Anchors: Besiroglu et al. (2024), refitted to convergence.


def test_the_chinchilla_points_have_one_optimum_and_it_is_found(epoch_fits: ModuleType) -> None:
    fitted = fit(CHINCHILLA, epoch_fits.epoch_runs())
    assert fitted.n == 240
    assert fitted.objective <= 0.0010182740179
    expected = {"a": 477.82587, "b": 2143.41736, "e": 1.81721810, "alpha": 0.3473105, "beta": 0.3671724}
    assert fitted.coefficients == pytest.approx(expected, rel=1e-4)


def test_least_absolute_deviations_give_the_headline_numbers(epoch_fits: ModuleType) -> None:
    fitted = fit(CHINCHILLA, epoch_fits.epoch_runs(), "lad")
    expected = {"a": 482.006, "b": 2085.434, "alpha": 0.34781, "beta": 0.36585}
    assert {name: fitted.coefficients[name] for name in expected} == pytest.approx(expected, rel=1e-3)


def test_squares_of_raw_loss_agree_with_two_other_fitters(epoch_fits: ModuleType) -> None:
    runs = epoch_fits.epoch_runs()
    runs = runs[6 * runs["N"] * runs["D"] < 1e21]
    fitted = fit(CHINCHILLA, runs, "mse", raw=True)
    assert len(runs) == 217
    assert fitted.objective == pytest.approx(0.0624142929, rel=1e-7)
    values = fitted.coefficients
    in_millions = (values["e"], values["a"] / 1e6 ** values["alpha"], values["b"] / 1e9 ** values["beta"])
    assert in_millions == pytest.approx((1.90509227, 4.00052232, 1.05094768), rel=1e-4)
    assert (values["alpha"], values["beta"]) == pytest.approx((0.35105819, 0.4587418), rel=1e-4)


def test_no_published_gemstones_fit_is_better_than_ours(public_fits: ModuleType) -> None:
    published = public_fits.gemstones_published()
    assert len(published) == 24
    for found in published:
        form, runs = public_fits.gemstones_form(found["law"]), public_fits.gemstones_runs(found["runs"])
        fitted = fit(form, runs, f"huber:{found['delta']}", polishes=4)
        assert fitted.objective <= found["loss"] * (1 + 1e-6), found


def test_clarks_exponents_come_back(public_fits: ModuleType) -> None:
    for found in public_fits.clark()["fits"]:
        for name in ("a", "b", "c"):
            assert found["ours"][name] == pytest.approx(found["published"][name], abs=1e-2 + 5e-4), found[
                "fit"
            ]  # printed to 5e-4
