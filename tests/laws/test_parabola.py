"""Parabolas: exact on polynomials, marked if they extrapolate, biased on a law."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.errors import InputError
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parabola import gains_over_dense, parabola_scatter, parabolas
from moe_lib.laws.parabola_bias import parabola_bias
from moe_lib.laws.published import ABNAR2025


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


def test_gains_over_dense_have_the_errors_of_both_fits() -> None:
    fits = pd.DataFrame({"S": [0.0, 0.9], "L": [3.3, 3.1], "L_low": [3.27, 3.06], "L_high": [3.33, 3.14]})
    found = gains_over_dense(fits)
    assert found["gain"].to_numpy() == pytest.approx([0, 0.2])
    assert found["error"].iloc[1] == pytest.approx(0.05)
    with pytest.raises(InputError, match="needs one fit at S = 0, but there are 0"):
        gains_over_dense(fits.iloc[1:])


def test_an_interval_without_resamples_says_nothing_about_a_bracket() -> None:
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
    with pytest.raises(InputError, match="3 runs are too few"):
        parabola_scatter(table.iloc[:3])


def test_a_parabola_through_two_sizes_is_refused() -> None:
    with pytest.raises(InputError, match=r"S = 0\.5: a parabola needs three sizes"):
        parabolas(pd.DataFrame({"N": [1e8, 1e9, 1e9], "S": 0.5, "L": [3.0, 2.9, 2.9]}))


def test_a_parabola_is_biased_on_noise_free_losses_and_more_so_off_centre() -> None:
    budget = Budget(ABNAR2025, 1e20)
    centred, off = (abs(parabola_bias(budget, 0.0, offset, 16)) for offset in (1.0, 4.0))
    assert 1e-4 < centred < off
    assert off > 0.1
