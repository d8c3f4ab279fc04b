"""Figures of Appendix D: surfaces of every budget with their held-out errors, and optima by two routes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moe_lib.figures.isoflop import LOSSES
from moe_lib.figures.style import (
    ACCENT,
    INK,
    LARGE,
    MUTED,
    budget_label,
    count_axis,
    enlarge,
    log_inverse_density,
    new_figure,
    ordered_colours,
    sparsity_axis,
    sparsity_color,
)
from moe_lib.laws.isoflop import Surface

MARKS = (0, 0.5, 0.75, 0.9, 0.98)
PANELS = {"L": "best loss L* (nats)", "N": "best total N*", "Na": "best active $N_a^*$"}


def surfaces(cells: Mapping[float, pd.DataFrame], fitted: Mapping[float, Surface]) -> Figure:
    """A row per budget: contours of its surface with the best size at each sparsity, and held-out predictions.

    Tables of `cells` have the columns N, S, L and `predicted`, the loss by the surface of all other cells.
    """
    figure, grid = new_figure("full", height=2.9 * len(cells) + 0.5, rows=len(cells), columns=2, squeeze=False)
    for (left, right), (flops, own) in zip(grid, cells.items(), strict=True):
        _contours(left, own, fitted[flops])
        left.set_title(budget_label(flops))
        ends = (min(own["L"].min(), own["predicted"].min()), max(own["L"].max(), own["predicted"].max()))
        right.plot(ends, ends, color=MUTED, lw=1)
        right.scatter(own["predicted"], own["L"], c=[sparsity_color(s) for s in own["S"]], s=34, ec="white", lw=0.5)
        r = float(np.corrcoef(own["predicted"], own["L"])[0, 1])
        right.set(title=f"held out, r = {r:.3f}", xlabel="predicted loss", ylabel="observed loss")
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        for axes in (left, right):
            enlarge(axes)
    return figure


def _contours(axes: Axes, own: pd.DataFrame, surface: Surface) -> None:
    n, s = np.exp(np.linspace(*surface.n_range, 80)), np.linspace(*surface.s_range, 60)
    low = own["L"].min()
    levels = np.linspace(low, min(own["L"].max(), low + 1), 12)
    axes.contour(n, s, surface.loss(n, -np.expm1(-s)[:, None]), levels=levels, cmap=LOSSES, linewidths=1)
    axes.scatter(own["N"], log_inverse_density(own["S"]), c=own["L"], cmap=LOSSES, vmin=low, vmax=levels[-1], s=30,
                 ec=INK, lw=0.5, clip_on=False, zorder=4)  # fmt: skip
    best = surface.best_size(-np.expm1(-s))
    axes.plot(best["N"].where(best["place"] == "inside"), s, color=ACCENT, lw=2.2)
    count_axis(axes.xaxis, "total parameters N")
    sparsity_axis(axes.yaxis, MARKS)
    axes.grid(False)


def optima_of_surfaces(at_size: pd.DataFrame, best: pd.DataFrame) -> Figure:
    """Best sparsity at given sizes (above), best total and active sizes at given sparsities (below), with 95 % bands.

    `at_size` has the columns C, N, S, low, high (sparsities) and `top`, whether N is the best size of all; `best` has
    C, S, quantity (N or Na), value, low and high. A line for each budget.
    """
    figure, top, lower = _three_panels()
    for flops, colour, label in _budgets(at_size):
        own = at_size[at_size["C"] == flops]
        low, at, high = (log_inverse_density(own[name]) for name in ("low", "S", "high"))
        top.fill_between(own["N"], low, high, color=colour, alpha=0.15, lw=0)
        top.plot(own["N"], at, color=colour, label=label)
        top.plot(own["N"][own["top"]], at[own["top"]], "o", color=INK, ms=8, zorder=4)
        for axes, name in zip(lower, ("N", "Na"), strict=True):
            rows = best[(best["C"] == flops) & (best["quantity"] == name)]
            hidden = log_inverse_density(rows["S"])
            axes.fill_between(hidden, rows["low"], rows["high"], color=colour, alpha=0.15, lw=0)
            axes.plot(hidden, rows["value"], "-o", color=colour, ms=5)
    top.set_title("a. best sparsity S* at a fixed size")
    count_axis(top.xaxis, "total parameters N")
    sparsity_axis(top.yaxis, MARKS)
    top.set_ylabel("")
    for axes, letter, name in zip(lower, "bc", ("N", "Na"), strict=True):
        axes.set_title(f"{letter}. {PANELS[name]}")
    return _finished(figure, top, lower)


def optima_of_two_routes(table: pd.DataFrame) -> Figure:
    """Best loss (above), best total and active size (below) against sparsity: bands by surfaces, bars by parabolas.

    Columns C, S, quantity (L, N or Na), route (`surface` or `parabola`), value, low and high. A colour per budget.
    """
    figure, top, lower = _three_panels()
    for flops, colour, label in _budgets(table):
        for axes, quantity in zip((top, *lower), PANELS, strict=True):
            own = table[(table["C"] == flops) & (table["quantity"] == quantity)]
            surface, parabola = (own[own["route"] == route] for route in ("surface", "parabola"))
            hidden = log_inverse_density(surface["S"])
            axes.fill_between(hidden, surface["low"], surface["high"], color=colour, alpha=0.15, lw=0)
            axes.plot(hidden, surface["value"], color=colour, label=label)
            hidden = log_inverse_density(parabola["S"])
            axes.vlines(hidden, parabola["low"], parabola["high"], color=colour, lw=1.4)
            axes.plot(hidden, parabola["value"], "D", color=colour, mec="white", mew=0.8, ms=6.5, zorder=4)
    for axes, letter, name in zip((top, *lower), "abc", PANELS, strict=True):
        axes.set_title(f"{letter}. {PANELS[name]}")
        if name != "L":
            values = table.loc[table["quantity"] == name, "value"]
            axes.set_ylim(0.4 * values.min(), 2.5 * values.max())
    sparsity_axis(top.xaxis, (0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98))
    return _finished(figure, top, lower)


def _three_panels() -> tuple[Figure, Axes, tuple[Axes, Axes]]:
    figure, _ = new_figure("full", height=6.4)
    figure.clear()
    panels = figure.subplot_mosaic([["top", "top"], ["left", "right"]])
    return figure, panels["top"], (panels["left"], panels["right"])


def _budgets(table: pd.DataFrame) -> list[tuple[float, Any, str]]:
    found = sorted(table["C"].unique())
    colours = [ACCENT] if len(found) == 1 else ordered_colours(len(found))
    return [(flops, colour, budget_label(flops)) for flops, colour in zip(found, colours, strict=True)]


def _finished(figure: Figure, top: Axes, lower: tuple[Axes, Axes]) -> Figure:
    for axes in lower:
        sparsity_axis(axes.xaxis, MARKS)
        count_axis(axes.yaxis, "")
    for axes in (top, *lower):
        enlarge(axes)
    handles, labels = top.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3), fontsize=LARGE)
    return figure
