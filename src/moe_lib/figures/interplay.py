"""Figures of Section 2: loss over size and sparsity at one budget, and its minima."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.isoflop import SIZE_LABELS
from moe_lib.figures.style import (
    ACCENT,
    INK,
    LOSS_LABEL,
    MUTED,
    count_axis,
    log_inverse_density,
    new_figure,
    sparsity_axis,
    sparsity_color,
    sparsity_label,
)
from moe_lib.laws.isoflop import Surface
from moe_lib.paper import SPARSITIES


def isoflop_slices(table: pd.DataFrame, surfaces: Sequence[Surface]) -> Figure:
    """Loss against size: points for runs, curves for the surface, one colour per sparsity; one panel per surface.

    `table` has the columns N, Na, S, L and se (standard error of L over documents, drawn if given). A filled diamond
    marks a minimum inside the grid of sizes; a minimum outside is not drawn.
    """
    figure, row = new_figure("full", height=4.4, columns=len(surfaces), sharey=True, squeeze=False)
    for axes, surface in zip(row[0], surfaces, strict=True):
        for group, runs in table.groupby("S"):
            sparsity = float(str(group))
            colour = sparsity_color(sparsity)
            sizes = np.geomspace(runs[surface.size].min(), runs[surface.size].max(), 80)
            axes.plot(sizes, surface.loss(sizes, sparsity), color=colour, lw=1.5, label=sparsity_label(sparsity))
            axes.plot(runs[surface.size], runs["L"], "o", color=colour, ms=5, mec="white", mew=0.6)
            best = surface.best_size([sparsity]).iloc[0]
            within = runs[surface.size].min() <= best[surface.size] <= runs[surface.size].max()
            if best["place"] == "inside" and within:
                axes.plot(best[surface.size], best["L"], "D", color=colour, ms=7, mec=INK, mew=1.1, zorder=5)
        count_axis(axes.xaxis, SIZE_LABELS[surface.size])
    row[0][0].set_ylabel(LOSS_LABEL)
    handles, labels = row[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return figure


def optima_along_sparsity(optima: pd.DataFrame) -> Figure:
    """Best size, its active part and its loss against sparsity, one panel each.

    Columns `source` (one line each), S, N, Na, L, and `place` (`outside` is an extrapolation and drawn hollow).
    """
    figure, row = new_figure("full", height=3.5, columns=3)
    titles = {"N": "a. best total N*", "Na": "b. best active $N_a^*$", "L": "c. its loss L*"}
    for axes, (column, title) in zip(row, titles.items(), strict=True):
        for (source, rows), colour in zip(optima.groupby("source", sort=False), (ACCENT, INK, MUTED), strict=False):
            hidden = log_inverse_density(rows["S"])
            axes.plot(hidden, rows[column], color=colour, lw=1.5, label=str(source))
            inside = (rows["place"] == "inside").to_numpy()
            axes.plot(hidden[inside], rows[column][inside], "o", color=colour)
            axes.plot(hidden[~inside], rows[column][~inside], "o", color=colour, mfc="white")
        axes.set_title(title)
        sparsity_axis(axes.xaxis, (0, 0.75, 0.9, 0.98))
        if column != "L":
            count_axis(axes.yaxis, "")
            axes.yaxis.set_label_text("")
    row[2].set_ylabel("nats per token")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def best_sparsity_by_size(table: pd.DataFrame, studied: tuple[float, float] | None = None) -> Figure:
    """S* against N, one line per budget; columns C, N, S. `studied` shades the sizes that the law was fitted to."""
    figure, axes = new_figure("full", height=3.7)
    if studied:
        axes.axvspan(*studied, color="#f3f4f7", zorder=0, lw=0)
    budgets = sorted(table["C"].unique())
    for number, budget in enumerate(budgets):
        rows = table[table["C"] == budget]
        shade = 0.75 - 0.75 * number / max(len(budgets) - 1, 1)
        axes.plot(rows["N"], log_inverse_density(rows["S"]), color=(shade, shade * 0.95, 0.35 + 0.5 * shade),
                  label=f"C = {budget:.0e}".replace("e+", "e"))  # fmt: skip
    count_axis(axes.xaxis, "total parameters N")
    sparsity_axis(axes.yaxis, (0, 0.5, 0.75, 0.9, 0.98, 0.998))
    axes.set(ylabel="best sparsity S*", ylim=(-0.1, 7))
    axes.axhline(log_inverse_density(SPARSITIES[-1]), color=MUTED, lw=0.9, ls=(0, (4, 3)))
    axes.legend(loc="upper left")
    return figure
