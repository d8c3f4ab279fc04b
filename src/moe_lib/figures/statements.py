"""Figures of the evidence across recipes: the statements as a forest, transitions, and the gain from sparsity."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from moe_lib.figures.style import (
    ACCENT,
    INK,
    MUTED,
    budget_label,
    log_inverse_density,
    new_figure,
    ordered_colours,
    sparsity_axis,
)

CLAIMED = "#e9f3ea"  # the side of zero on which a statement holds
MARKERS = "osD^v"


def forest(judged: pd.DataFrame, nothing: str) -> Figure:
    """Each statement's number with its 95 % interval, by recipe, budget and route; one panel per statement.

    `judged` is a table of `judge_by_routes` with the column `sign`; the shaded side is the claimed one. The route
    `nothing` is drawn hollow: an interval there that is wholly on the shaded side makes the statement trivial.
    """
    groups = _groups(judged)
    routes, statements = list(judged["route"].unique()), list(judged["statement"].unique())
    rows = -(-len(statements) // 2)
    height = rows * (0.95 + 0.105 * len(groups) * (len(routes) + 1)) + 0.9
    figure, grid = new_figure("full", height=height, rows=rows, columns=2, squeeze=False)
    for axes, statement in zip(grid.flat, statements, strict=False):
        own = judged[judged["statement"] == statement]
        for number, group in enumerate(groups):
            for place, route in enumerate(routes):
                found = own[(own["recipe"] == group[0]) & (own["C"] == group[1]) & (own["route"] == route)]
                level = -(number * (len(routes) + 1) + place)
                for one in found.to_dict("records"):
                    _interval(axes, one, level, MARKERS[place % len(MARKERS)], route, nothing)
        axes.axvline(0, color=MUTED, lw=0.9)
        low, high = axes.get_xlim()
        side = (0, high) if own["sign"].iloc[0] > 0 else (low, 0)
        axes.axvspan(*side, color=CLAIMED, zorder=0, lw=0)
        axes.set(xlim=(low, high), ylim=(1 - len(groups) * (len(routes) + 1), 1))
        axes.set_title("\n".join(textwrap.wrap(statement.replace("N_a*", "$N_a$*"), 27)), fontsize=11.5)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=11)
        middle = [-(number * (len(routes) + 1) + (len(routes) - 1) / 2) for number in range(len(groups))]
        labels = [f"{recipe}\n{budget_label(flops)}" for recipe, flops in groups]
        axes.set_yticks(middle, labels if axes in grid[:, 0] else [""] * len(groups))
        axes.grid(axis="y", visible=False)
    for axes in grid.flat[len(statements) :]:
        axes.axis("off")
    handles, labels = grid[0][0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=1, fontsize=11)
    return figure


def _interval(axes: Axes, one: dict[str, float], level: float, marker: str, route: str, nothing: str) -> None:
    """One estimate with its interval."""
    colour = MUTED if route == nothing else ACCENT if marker == MARKERS[0] else INK
    fill = "white" if route == nothing else colour
    axes.plot([one["low"], one["high"]], [level] * 2, color=colour, lw=1.5)
    axes.plot(one["value"], level, marker, color=colour, mfc=fill, ms=5.5, ls="none", label=route, zorder=4)


def _groups(table: pd.DataFrame) -> list[tuple[str, float]]:
    """Each recipe and budget of a table, in its order."""
    pairs = table[["recipe", "C"]].drop_duplicates().to_numpy()
    return [(str(recipe), float(flops)) for recipe, flops in pairs]


def transition_strip(table: pd.DataFrame) -> Figure:
    """The share of its steps at which each run had its two transitions: a row per recipe and budget.

    `table` is a `transition_table`. Runs that never had a transition are at the right edge, with their number.
    """
    groups = _groups(table)
    figure, axes = new_figure("full", height=1.5 + 0.8 * len(groups))
    looks = (
        ("bigram_share", "o", INK, "first: from the current token"),
        ("copy_share", "D", ACCENT, "second: copying"),
    )
    rng = np.random.default_rng(0)
    for level, group in enumerate(groups):
        own = table[(table["recipe"] == group[0]) & (table["C"] == group[1])]
        for place, (name, marker, colour, label) in enumerate(looks):
            shares = own[name]
            at = -level + 0.2 - 0.4 * place + 0.09 * rng.uniform(-1, 1, len(own))
            axes.plot(shares, at, marker, color=colour, ms=4.5, mec="white", mew=0.4, label=None if level else label)
            if n := int(shares.isna().sum()):
                axes.annotate(f"never: {n} of {len(own)}", (1.02, -level + 0.2 - 0.4 * place), color=colour,
                              fontsize=11, va="center", annotation_clip=False)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0.6 - len(groups), 0.6))
    axes.set_yticks(
        [-level for level in range(len(groups))], [f"{one}\n{budget_label(flops)}" for one, flops in groups]
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of a run's steps", fontsize=12)
    axes.tick_params(labelsize=11)
    figure.legend(loc="outside lower center", ncols=2, fontsize=11)
    return figure


def gains(fits: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """What each sparsity gains over dense at its best size, nats: a panel per recipe, a line per budget.

    `fits` has, by recipe, the table of `gains_by_budget`; bars are 95 % intervals, a vertex outside the sizes trained
    is hollow.
    """
    figure, row = new_figure("full", height=3.6, columns=len(fits), sharey=True, squeeze=False)
    budgets = sorted({flops for _, own in fits for flops in own["C"]})
    colours = dict(zip(budgets, [ACCENT] if len(budgets) == 1 else ordered_colours(len(budgets)), strict=True))
    for axes, (recipe, own) in zip(row[0], fits, strict=True):
        axes.axhline(0, color=MUTED, lw=0.9)
        for flops, line in own.groupby("C"):
            colour, at = colours[flops], log_inverse_density(line["S"])
            axes.errorbar(at, line["gain"], np.where(line["S"] > 0, line["error"], 0), color=colour, lw=1.5, capsize=2,
                          label=budget_label(line["C"].iloc[0]))  # fmt: skip
            for x, one in zip(at, line.to_dict("records"), strict=True):
                axes.plot(x, one["gain"], "o", color=colour, mfc=colour if one["place"] == "inside" else "white", ms=6)
        axes.set_title(f"recipe: {recipe}", fontsize=12)
        sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98) if len(fits) == 1 else (0, 0.75, 0.9, 0.98))
        axes.xaxis.label.set_fontsize(12)
        axes.tick_params(labelsize=11)
    row[0][0].set_ylabel("gain over dense (nats per token)", fontsize=12)
    handles = {text: one for axes in row[0] for one, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=11)
    return figure
