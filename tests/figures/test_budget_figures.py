"""Figures of Section 3 show one line per budget, and the balance that places the best sparsity."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures.budget import balance, best_sparsity_by_budget, losses_by_budget, optima_by_budget
from moe_lib.laws.implications import sparsity_balance
from moe_lib.laws.optimum import Budget
from moe_lib.laws.published import ABNAR2025

SPARSITIES = np.linspace(0, 0.98, 400)
BUDGETS = (1e20, 1e21)


def test_gain_and_cost_cross_at_the_best_sparsity() -> None:
    table = pd.concat(sparsity_balance(ABNAR2025, 3e9, c, SPARSITIES).assign(C=c) for c in BUDGETS)
    [axes] = balance(table).axes
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    best = [-np.log1p(-float(Budget(ABNAR2025, c).best_sparsity(3e9))) for c in BUDGETS]
    assert dots == pytest.approx(best, abs=0.1)
    assert dots[0] > dots[1]
    assert len(axes.lines) == 2 * len(BUDGETS) + 1


def test_each_budget_has_a_line_in_each_panel() -> None:
    table = pd.DataFrame({"C": [1e20] * 2 + [1e21] * 2, "S": [0, 0.9] * 2, "N": [1e9, 3e9, 2e9, 9e9]})
    figure = optima_by_budget(table.assign(Na=table["N"] / 2, L=2.0))
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]
    assert figure.axes[1].lines[0].get_ydata() == pytest.approx([5e8, 1.5e9])
    assert [one.get_text() for one in figure.legends[0].get_texts()] == ["C = 1e20", "C = 1e21"]


def test_beyond_the_data_a_best_sparsity_is_dashed() -> None:
    table = pd.DataFrame({"C": [1e19, 1e20, 1e21], "N": 3e9, "S": [0.99, 0.95, 0.8]})
    [axes] = best_sparsity_by_budget(table, 0.98).axes
    dashed, solid = axes.lines
    assert dashed.get_linestyle() == "--"
    assert np.isnan(solid.get_ydata()[0])
    assert solid.get_ydata()[1:] == pytest.approx(-np.log1p(-np.array([0.95, 0.8])))


def test_our_losses_have_intervals() -> None:
    rows = {"C": 1e13, "S": [0.0, 0.9], "L": [4.0, 3.9], "L_low": [3.9, 3.8], "L_high": [4.2, 4.0]}
    [axes] = losses_by_budget(pd.DataFrame(rows)).axes
    [bars] = axes.collections
    assert bars.get_segments()[0][:, 1] == pytest.approx([3.9, 4.2])
