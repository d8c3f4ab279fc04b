"""Figures for teachers: which chapter needs which, and the runs of a scaling lab."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.errors import InputError
from moe_lib.figures.style import (
    ACCENT,
    INK,
    LOSS_LABEL,
    MUTED,
    count_axis,
    new_figure,
    sparsity_color,
    sparsity_label,
)


def levels(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """For each chapter the length of the longest chain of chapters to read before it; needs outside are left out.

    `InputError` if chapters need each other in a circle.
    """
    within = {name: [one for one in before if one in needs] for name, before in needs.items()}
    found: dict[str, int] = {}
    try:
        for name in TopologicalSorter(within).static_order():
            found[name] = 1 + max((found[one] for one in within[name]), default=-1)
    except CycleError as error:
        raise InputError(f"needs: {', '.join(error.args[1][1:])} need each other in a circle") from None
    return found


def dependency_map(needs: Mapping[str, Sequence[str]], weeks: Mapping[str, int]) -> Figure:
    """Chapters as boxes, an arrow from each to those that need it, the first to read on top; colour is the week."""
    level = levels(needs)
    rows = [[name for name in needs if level[name] == depth] for depth in range(max(level.values()) + 1)]
    place = {
        name: ((number + 0.5) / len(row), -depth) for depth, row in enumerate(rows) for number, name in enumerate(row)
    }
    figure, axes = new_figure("full", height=1.05 * len(rows) + 0.3)
    for name, before in needs.items():
        for one in (one for one in before if one in needs):
            arrow = {"arrowstyle": "-|>", "color": MUTED, "lw": 1, "shrinkA": 14, "shrinkB": 14}
            axes.annotate("", place[name], place[one], arrowprops=arrow, zorder=1)
    shades = {1: "#f0e4f6", 2: "#e3ecf7"}
    for name, (x, y) in place.items():
        look = {"boxstyle": "round,pad=0.45", "fc": shades.get(weeks.get(name, 0), "#f3f4f7"), "ec": INK, "lw": 0.8}
        axes.text(x, y, name, ha="center", va="center", fontsize=9.5, bbox=look, zorder=2)
    axes.set(xlim=(0, 1), ylim=(-len(rows) + 0.45, 0.55))
    axes.axis("off")
    return figure


def lab_runs(table: pd.DataFrame, budget: float) -> Figure:
    """The queries of a lab near one budget: loss against total parameters, a colour per sparsity.

    `table` is `Lab.table`; queries within a tenth of `budget` are shown, joined along size.
    """
    figure, axes = new_figure("half", height=3.6)
    near = table[np.isclose(table["C"], budget, rtol=0.1)]
    for sparsity, runs in near.groupby("S"):
        rows = runs.sort_values("N").groupby("N", as_index=False)["L"].mean()
        label = sparsity_label(float(str(sparsity)))
        axes.plot(rows["N"], rows["L"], "-o", color=sparsity_color(float(str(sparsity))), lw=1, label=label)
    best = near.sort_values("L").iloc[0]
    axes.plot(best["N"], best["L"], "o", ms=13, mfc="none", mec=ACCENT, mew=1.6)
    count_axis(axes.xaxis, "total parameters N")
    axes.set_ylabel(LOSS_LABEL)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
