"""Figures of the experimental setup: what models read, and what they remember of it."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.style import ACCENT, INK, MUTED, new_figure

PROSE, CODE, INVENTED = "#3f78a8", "#9cc4de", ACCENT


def mixture(slices: pd.DataFrame) -> Figure:
    """A bar a slice: training tokens in millions. `slices` has the columns name, kind, tokens, from the first bar down.

    `kind` is `English prose`, `source code` or `invented facts`, and gives the colour.
    """
    colours = {"English prose": PROSE, "source code": CODE, "invented facts": INVENTED}
    figure, axes = new_figure("full", height=2.6)
    rows = slices.iloc[::-1]
    bars = axes.barh(rows["name"], rows["tokens"] / 1e6, color=[colours[kind] for kind in rows["kind"]], height=0.68)
    share = rows["tokens"] / rows["tokens"].sum()
    axes.bar_label(bars, [f"{one:.0%}" for one in share], padding=4, fontsize=9.5, color=INK)
    for kind in colours:
        if (slices["kind"] == kind).any():
            axes.barh([rows["name"].iloc[0]], [0], color=colours[kind], label=kind)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    axes.set_xlabel("training tokens (millions)")
    axes.legend(loc="center right", bbox_to_anchor=(1, 0.56))
    return figure


def recall(table: pd.DataFrame, chance: float, exposures: Sequence[int]) -> Figure:
    """Closed-book answers by how often a fact was told: nats of the right answer, and how often it is picked.

    `table` has the columns exposure, nll, nll_standard_error, accuracy, n; bars are one standard error.
    """
    figure, (nats, right) = new_figure("full", height=3.0, columns=2)
    nats.errorbar(
        table["exposure"], table["nll"], yerr=table["nll_standard_error"], color=ACCENT, marker="o", capsize=3
    )
    nats.set_ylabel("nats of the right answer")
    error = (table["accuracy"] * (1 - table["accuracy"]) / table["n"]) ** 0.5
    right.errorbar(table["exposure"], table["accuracy"], yerr=error, color=ACCENT, marker="o", capsize=3)
    right.axhline(chance, color=MUTED, linestyle="--", linewidth=1.2)
    right.annotate("by chance", (1, chance), xytext=(0, 4), textcoords="offset points", color=MUTED, fontsize=9.5)
    right.set_ylabel("right among four")
    right.set_ylim(0, None)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axes in (nats, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(exposures), [str(exposure) for exposure in exposures])
        axes.minorticks_off()
        axes.set_xlabel("times told in training")
    return figure
