"""Figures of Section 3: how the best sparsity and the worth of sparsity move with the budget."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.style import (
    ACCENT,
    INK,
    budget_label,
    count_axis,
    flops_axis,
    log_inverse_density,
    new_figure,
    ordered_colours,
    short_count,
    sparsity_axis,
)

MARKS = (0, 0.5, 0.75, 0.9, 0.95, 0.98)


def balance(table: pd.DataFrame, height: float = 0.12) -> Figure:
    """What one more unit of -log(1-S) gains in tokens at each budget, and what it costs in active parameters.

    `table` is that of `sparsity_balance` for several budgets, with a column C; a dot is a budget's best sparsity.
    """
    figure, axes = new_figure("full", height=4.2)
    budgets = sorted(table["C"].unique())
    for flops, colour in zip(budgets, ordered_colours(len(budgets)), strict=True):
        rows = table[table["C"] == flops]
        hidden, gain, cost = log_inverse_density(rows["S"]), rows["gain"].to_numpy(), rows["cost"].to_numpy()
        if flops == budgets[0]:
            axes.plot(hidden, cost, color=ACCENT, lw=2.6, label="cost, at every budget")
        axes.plot(hidden, gain, color=colour, label=f"gain, {budget_label(flops)}")
        crossing = np.flatnonzero(np.diff(np.sign(gain - cost)))
        if len(crossing):
            at = crossing[0]
            axes.plot(hidden.iloc[at], gain[at], "o", color=colour, mec="white", ms=8, zorder=4)
    axes.set(ylim=(0, height), xlim=(0, log_inverse_density(MARKS[-1])), ylabel="nats per unit of -log(1 - S)")
    sparsity_axis(axes.xaxis, MARKS)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def optima_by_budget(table: pd.DataFrame) -> Figure:
    """Best size, its active part and its loss against sparsity, one line per budget; columns C, S, N, Na and L."""
    figure, row = new_figure("full", height=3.6, columns=3)
    titles = {"N": "a. best total N*", "Na": "b. best active $N_a^*$", "L": "c. its loss L*"}
    budgets = sorted(table["C"].unique())
    for axes, (column, title) in zip(row, titles.items(), strict=True):
        for flops, colour in zip(budgets, ordered_colours(len(budgets)), strict=True):
            rows = table[table["C"] == flops]
            axes.plot(log_inverse_density(rows["S"]), rows[column], "-o", color=colour, ms=4, label=budget_label(flops))
        axes.set_title(title)
        sparsity_axis(axes.xaxis, (0, 0.75, 0.9, 0.98))
        if column != "L":
            count_axis(axes.yaxis, "")
    row[2].set_ylabel("nats per token")
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(budgets), 5))
    return figure


def best_sparsity_by_budget(table: pd.DataFrame, end: float) -> Figure:
    """S* against the budget, one line per size, dashed beyond `end`, the sparsest of a law's data; columns C, N, S."""
    figure, axes = new_figure("half", height=3.6)
    sizes = sorted(table["N"].unique())
    for size, colour in zip(sizes, ordered_colours(len(sizes)), strict=True):
        rows = table[table["N"] == size]
        hidden = log_inverse_density(rows["S"])
        axes.plot(rows["C"], hidden, color=colour, ls="--", lw=1.2)
        axes.plot(rows["C"], hidden.where(rows["S"] <= end), color=colour, label=f"N = {short_count(size)}")
    flops_axis(axes.xaxis)
    sparsity_axis(axes.yaxis, (*MARKS, 0.99))
    axes.set_ylabel("best sparsity S*")
    axes.set_ylim(-0.08, None)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def losses_by_budget(table: pd.DataFrame) -> Figure:
    """Our best losses against sparsity with 95 % intervals, one line per budget; columns C, S, L, L_low and L_high."""
    figure, axes = new_figure("half", height=3.4)
    budgets = sorted(table["C"].unique())
    for flops, colour in zip(budgets, [INK] if len(budgets) == 1 else ordered_colours(len(budgets)), strict=True):
        rows = table[table["C"] == flops]
        hidden, loss = log_inverse_density(rows["S"]), rows["L"]
        away = np.maximum([loss - rows["L_low"], rows["L_high"] - loss], 0)
        axes.errorbar(hidden, loss, away, fmt="-o", color=colour, ms=5, capsize=2, lw=1.4, label=budget_label(flops))
    sparsity_axis(axes.xaxis, MARKS)
    axes.set_ylabel("best loss L* (nats per token)")
    axes.legend()
    return figure
