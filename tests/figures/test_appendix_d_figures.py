"""Figures of Appendix D: a row or a colour per budget, bands as given, and both routes in each panel."""

import itertools

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures import appendix_d as figures
from moe_lib.figures.style import INK
from moe_lib.laws.isoflop import fit_surface, predict_held_out

SPARSITIES = (0.0, 0.5, 0.9)
BUDGETS = (1e13, 3e13, 1e14)


def cells(budget: float) -> pd.DataFrame:
    rows = []
    for s, n in itertools.product(SPARSITIES, np.geomspace(1e5, 3e6, 6)):
        best = np.log(4e5 / (1 - s) ** 0.5)
        rows.append({"S": s, "N": n, "L": 3 + 0.1 * (np.log(n) - best) ** 2 - 0.1 * s - 0.05 * np.log10(budget / 1e13)})
    table = pd.DataFrame(rows)
    return table.assign(predicted=predict_held_out(table))


def test_each_budget_has_its_row_and_its_correlation() -> None:
    tables = {c: cells(c) for c in BUDGETS}
    figure = figures.surfaces(tables, {c: fit_surface(own) for c, own in tables.items()})
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles[::2] == ["C = 1e13", "C = 3e13", "C = 1e14"]
    r = float(np.corrcoef(tables[1e13]["predicted"], tables[1e13]["L"])[0, 1])
    assert titles[1] == f"held out, r = {r:.3f}"


def test_a_held_out_prediction_does_not_see_its_own_run() -> None:
    table = cells(1e13)
    moved = table.assign(L=table["L"].where(table.index != 4, table["L"] + 1))
    assert predict_held_out(moved)[4] == pytest.approx(predict_held_out(table)[4])
    assert predict_held_out(moved)[5] != pytest.approx(predict_held_out(table)[5], abs=1e-3)


def optima(routes: tuple[str, ...]) -> pd.DataFrame:
    rows = itertools.product(BUDGETS, SPARSITIES, ("L", "N", "Na"), routes)
    return pd.DataFrame([
        {"C": c, "S": s, "quantity": q, "route": route, "value": v, "low": 0.9 * v, "high": 1.1 * v}
        for c, s, q, route in rows for v in [3 - s if q == "L" else 1e5 * (1 + s) * c / 1e13]
    ])  # fmt: skip


def test_each_budget_has_a_line_in_each_panel_and_a_dot_at_its_best_size() -> None:
    at_size = pd.DataFrame([
        {"C": c, "N": n, "S": s, "low": 0.9 * s, "high": min(1.05 * s, 0.99), "top": n == 3e5}
        for c in BUDGETS for n, s in ((1e5, 0.1), (3e5, 0.5), (1e6, 0.9))
    ])  # fmt: skip
    figure = figures.optima_of_surfaces(at_size, optima(("surface",)))
    top, total, active = figure.axes
    dots = [line for line in top.lines if line.get_color() == INK]
    assert [list(dot.get_xdata()) for dot in dots] == [[3e5]] * 3
    assert [len(axes.lines) for axes in (total, active)] == [3, 3]
    assert total.lines[0].get_ydata() == pytest.approx([1e5, 1.5e5, 1.9e5])
    assert [words.get_text() for words in figure.legends[0].get_texts()] == ["C = 1e13", "C = 3e13", "C = 1e14"]


def test_both_routes_are_in_each_panel() -> None:
    figure = figures.optima_of_two_routes(optima(("surface", "parabola")))
    for axes in figure.axes:
        diamonds = [line for line in axes.lines if line.get_marker() == "D"]
        assert len(diamonds) == len(BUDGETS)
        assert len(axes.lines) == 2 * len(BUDGETS)
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([3.0, 2.5, 2.1])
    figure.savefig("/dev/null", format="png", dpi=10)
