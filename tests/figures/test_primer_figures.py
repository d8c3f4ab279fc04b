"""The figures of the primer show models of one budget, and mark the lowest point of every valley."""

import numpy as np
import pytest

from moe_lib.figures import primer
from moe_lib.laws.optimum import Budget
from moe_lib.laws.published import BESIROGLU2024

BUDGET = Budget(BESIROGLU2024, 1e20)
BEST = float(BUDGET.best_size(0))


def test_each_step_adds_models_of_the_same_budget_and_the_last_marks_the_minimum() -> None:
    sizes = (3e9, 1e9, 3e8, 6e9)
    panels = primer.valley_in_steps(BUDGET, sizes).axes
    dots = [[line for line in axes.lines if line.get_marker() == "o"] for axes in panels]
    assert [len(own) for own in dots] == [1, 3, 4, 4]
    for dot, size in zip(dots[2], sizes, strict=True):
        assert dot.get_ydata()[0] == pytest.approx(float(BESIROGLU2024.loss(size, 1e20 / 6 / size)))
    [lowest] = [line for line in panels[3].lines if line.get_marker() == "D"]
    [curve] = [line for line in panels[3].lines if len(line.get_xdata()) > 1]
    assert lowest.get_xdata()[0] == pytest.approx(BEST)
    assert lowest.get_ydata()[0] <= min(curve.get_ydata())


def test_the_stack_of_terms_ends_at_the_loss() -> None:
    [axes] = primer.terms_of_valley(BUDGET, (1e8, 1e10)).axes
    curve = next(line for line in axes.lines if len(line.get_xdata()) > 1)
    top = axes.collections[-1].get_paths()[0].vertices
    for n, loss in zip(curve.get_xdata()[::50], curve.get_ydata()[::50], strict=True):
        assert top[np.isclose(top[:, 0], n), 1].max() == pytest.approx(loss)


def test_the_dashed_line_joins_the_minimum_of_every_budget() -> None:
    budgets = (3e19, 1e21)
    [axes] = primer.valleys(BUDGET, budgets, (1e8, 1e10)).axes
    joined = next(line for line in axes.lines if line.get_marker() == "D")
    assert list(joined.get_xdata()) == pytest.approx([float(Budget(BESIROGLU2024, c).best_size(0)) for c in budgets])
