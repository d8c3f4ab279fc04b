"""Figures of laws asked one question: their answers side by side, and how an answer moves with a bound."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.planner import SPARSEST
from moe_lib.figures.style import ACCENT, MUTED, log_inverse_density, new_figure, sparsity_axis

COOL = "#1f6f8b"  # a second law


def law_answers(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """What several laws answer to one question, a row per law; one panel for each title in `tables`.

    Each table has the columns law, S, low, high (the band within 0.01 nats), box (the sparsest of the law's data), edge
    (S is that end), and far (asked outside its data in other ways). A law without an answer has a missing S.
    """
    figure, column = new_figure("half", height=0.3 + 2.6 * len(tables), rows=len(tables), sharex=True, squeeze=False)
    laws = list(next(iter(tables.values()))["law"])
    for axes, (title, table) in zip(column[:, 0], tables.items(), strict=True):
        axes.set_title(title)
        for y, one in enumerate(table.to_dict("records")):
            axes.barh(y, log_inverse_density(one["box"]), height=0.62, color="#eceef2", zorder=1)
            if np.isnan(one["S"]):
                continue
            colour = MUTED if one["far"] else ACCENT
            band = log_inverse_density(np.array([one["low"], one["high"]]))
            axes.plot(band, [y, y], color=colour, lw=6, alpha=0.35, solid_capstyle="butt", zorder=2)
            fill = "white" if one["edge"] else colour
            axes.plot(log_inverse_density(one["S"]), y, "o", color=colour, mfc=fill, mew=1.6, ms=8, zorder=3)
        sparsity_axis(axes.xaxis, (0, 0.8, 0.95, 0.99, 0.998))
        sparsest = max(SPARSEST, *(float(own["box"].max()) for own in tables.values()))
        axes.set(xlim=(-0.2, log_inverse_density(sparsest) + 0.2), ylim=(len(laws) - 0.4, -0.6))
        axes.set_yticks(range(len(laws)), laws)
        axes.grid(axis="y", visible=False)
    for axes in column[:-1, 0]:
        axes.set_xlabel("")
    return figure


def best_sparsity_by_bound(lines: pd.DataFrame, label: str) -> Figure:
    """S* against a bound, one line per law with its band within 0.01 nats.

    `lines` has the columns law, x (the bound), S, low, high and edge (S is the end of the law's data, drawn dotted).
    """
    figure, axes = new_figure("half", height=3.9)
    for (name, own), colour in zip(lines.groupby("law", sort=False), (ACCENT, COOL), strict=False):
        s = log_inverse_density(own[["S", "low", "high"]])
        axes.fill_between(own["x"], s["low"], s["high"], color=colour, alpha=0.16, lw=0)
        axes.plot(own["x"], s["S"].where(~own["edge"]), color=colour, label=name)
        edge = own["edge"] | own["edge"].shift(1, fill_value=False) | own["edge"].shift(-1, fill_value=False)
        axes.plot(own["x"], s["S"].where(edge), color=colour, ls=":")
    axes.set(xscale="log", xlim=(lines["x"].min(), lines["x"].max()), xlabel=label)
    axes.set_ylim(-0.08, log_inverse_density(SPARSEST))
    sparsity_axis(axes.yaxis)
    axes.set_ylabel("best sparsity S*")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
