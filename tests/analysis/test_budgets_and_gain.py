"""What sparsity gains: at budgets that are complete, at one shape, and by every route to an optimum."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.budgets import complete_budgets, gains_by_budget, gains_by_shape
from moe_lib.analysis.gain import gain_by_route, lowest_cells, share_monotone


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    """Two budgets of parabolas in log N_a, at which sparsity 0.9 is 0.2 nats lower; one budget lacks sizes."""
    rows = [
        (c, s, f"{size} x 1", np.exp(size), np.exp(size) / (1 - s), 1e6, 3 + 0.1 * (size - 12) ** 2 - 0.2 * (s > 0))
        for c, sizes in ((1e13, range(10, 15)), (1e14, range(10, 13)))
        for s in (0.0, 0.9)
        for size in sizes
    ]
    return pd.DataFrame(rows, columns=["C", "S", "shape", "Na", "N", "D", "L"])


def test_a_budget_is_complete_with_five_sizes_of_every_sparsity(runs: pd.DataFrame) -> None:
    assert list(complete_budgets(runs, needed=(0, 0.9))) == [1e13]
    assert complete_budgets(runs, needed=(0, 0.98)) == {}


def test_gains_over_dense_are_those_put_in(runs: pd.DataFrame) -> None:
    cells = complete_budgets(runs, needed=(0, 0.9))
    fits, scatter = gains_by_budget(cells, "Na")
    assert fits["gain"].to_numpy() == pytest.approx([0, 0.2])
    assert scatter[1e13] == pytest.approx(0, abs=1e-9)
    by_shape = gains_by_shape(cells[1e13], [0.9])
    assert by_shape[0.9].to_numpy() == pytest.approx(0.2)
    assert list(by_shape["shape"]) == [f"{size} x 1" for size in range(10, 15)]


def test_routes_are_compared_by_gain_and_best_size(runs: pd.DataFrame) -> None:
    cells = lowest_cells(runs[runs["C"] == 1e13])
    [row] = gain_by_route({"lowest cells": {"Na": cells}}, [0.9]).to_dict("records")
    assert (row[0.9], row["last_step"]) == pytest.approx((0.2, 0.2))
    assert row["dense"] == row["sparsest"] == pytest.approx(np.exp(12))


def test_the_share_of_tables_that_fall_at_every_step_is_counted() -> None:
    falls, rises = (pd.DataFrame({"L": losses}) for losses in ([3.0, 2.9, 2.8], [3.0, 2.9, 2.95]))
    assert share_monotone([falls, falls, rises, rises]) == 0.5
