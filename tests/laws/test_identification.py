"""What a fit claims to identify: both sides, one side, nothing; never more than the runs show."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.identification import idle_terms, known_sides, not_identified
from moe_lib.laws.parametric import CHINCHILLA, POWER_LAW, SPARSITY_NO_C, Law
from moe_lib.laws.solver import fit
from moe_lib.laws.uncertainty import bootstrap, standard_errors

TRUTH = Law(CHINCHILLA, {"a": 400.0, "b": 2000.0, "e": 1.8, "alpha": 0.35, "beta": 0.37})


def few_runs(n: int, seed: int, noise: float = 0.003) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    runs = pd.DataFrame({"N": np.geomspace(5e7, 1e10, n), "D": rng.permutation(np.geomspace(1e9, 3e11, n))})
    return runs.assign(L=TRUTH.loss(runs["N"], runs["D"]) * np.exp(noise * rng.standard_normal(n)))


@pytest.mark.parametrize("n", [5, 6])
def test_fewer_than_two_degrees_of_freedom_are_refused(n: int) -> None:
    with pytest.raises(InputError, match=f"chinchilla has 5 coefficients and needs at least 7 runs, but there are {n}"):
        fit(CHINCHILLA, few_runs(n, 0))


def test_a_few_runs_do_not_claim_what_they_do_not_know() -> None:
    wrong = 0
    for seed in range(10):
        fitted = fit(CHINCHILLA, few_runs(7, seed), polishes=4)
        drawn = bootstrap(fitted, 20)
        lost, intervals = not_identified(fitted, drawn), drawn.intervals()
        wrong += any(
            not low <= TRUTH.values[name] <= high for name, (low, high) in intervals.items() if name not in lost
        )
    assert wrong <= 1


def test_one_outlier_voids_no_interval() -> None:
    rows = [(n, d) for n in np.geomspace(5e7, 1e10, 16) for d in np.geomspace(1e9, 3e11, 15)]
    runs = pd.DataFrame(rows, columns=["N", "D"])
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(runs)))
    runs = runs.assign(L=TRUTH.loss(runs["N"], runs["D"]) * noise)
    clean = standard_errors(fit(CHINCHILLA, runs))
    runs.loc[100, "L"] = 30.0
    fitted = fit(CHINCHILLA, runs)
    assert not_identified(fitted) == {}
    assert standard_errors(fitted) == pytest.approx(clean, rel=0.3)


def test_a_constant_that_is_only_bounded_from_above_says_so() -> None:
    rows = [(n, d) for n in np.geomspace(1e6, 3e7, 6) for d in np.geomspace(1e8, 3e9, 6)]
    small = pd.DataFrame(rows, columns=["N", "D"])
    noise = np.exp(0.05 * np.random.default_rng(2).standard_normal(len(small)))
    truth = Law(CHINCHILLA, {**TRUTH.values, "e": 0.5})
    fitted = fit(CHINCHILLA, small.assign(L=truth.loss(small["N"], small["D"]) * noise), "mse", polishes=4)
    known = known_sides(fitted, bootstrap(fitted, 40))["e"]
    assert (known.low, known.high) == (False, True)
    assert known.reason == "these runs bound it only from above"


def test_a_term_that_adds_nothing_is_dropped_to_zero() -> None:
    runs = few_runs(40, 0, noise=0.0)
    fitted = fit(CHINCHILLA, runs.assign(L=runs["L"] - 1.9), polishes=4)
    assert idle_terms(fitted) == {"e"}
    assert fitted.coefficients["e"] == 0
    assert not known_sides(fitted)["e"].low


def test_an_exponent_at_its_bound_is_not_a_finding(runs_with_a_bad_one: pd.DataFrame) -> None:
    fitted = fit(SPARSITY_NO_C, runs_with_a_bad_one)
    assert fitted.coefficients["gamma"] == 0
    assert not_identified(fitted)["gamma"] == "the search ended at 0, its bound"


def test_percentile_intervals_of_few_runs_hold_the_truth_as_often_as_they_say() -> None:
    flops, held, sets = np.geomspace(1e18, 1e21, 8), 0, 60
    for seed in range(sets):
        noise = np.exp(0.05 * np.random.default_rng(seed).standard_normal(len(flops)))
        fitted = fit(POWER_LAW, {"C": flops, "N": 0.09 * flops**0.5 * noise}, "mse", polishes=1)
        low, high = bootstrap(fitted, 40, seed).intervals()["a"]
        held += low <= 0.5 <= high
    assert held >= 0.9 * sets
