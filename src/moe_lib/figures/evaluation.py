"""Figures of the experimental setup: the training mixture, and recall of injected facts."""

import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.style import ACCENT, INK, MUTED, new_figure

PROSE, CODE = "#3f78a8", "#9cc4de"


def mixture(slices: pd.DataFrame) -> Figure:
    """Training tokens in millions, one bar per slice.

    `slices` has the columns name, kind, tokens, in order from the top. `kind` is `English prose` or `source code` and
    sets the colour.
    """
    colours = {"English prose": PROSE, "source code": CODE}
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


def recall(table: pd.DataFrame) -> Figure:
    """Nats of closed-book answers after the right name and after a stranger's, and their difference, by exposure.

    `table` has one row per exposure and the columns exposure, nll, stranger, knowledge, the last three with their
    standard errors in `<name>_error`; all in nats.
    """
    figure, (nats, gain) = new_figure("full", height=3.0, columns=2)
    lines = (("stranger", MUTED, "after a stranger's name"), ("nll", ACCENT, "after the right name"))
    for name, colour, label in lines:
        nats.errorbar(
            table["exposure"],
            table[name],
            yerr=table[f"{name}_error"],
            color=colour,
            marker="o",
            capsize=3,
            label=label,
        )
    nats.set_ylabel("nats of the answer")
    nats.legend(loc="lower left")
    gain.axhline(0, color=MUTED, linestyle="--", linewidth=1.2)
    gain.errorbar(
        table["exposure"], table["knowledge"], yerr=table["knowledge_error"], color=ACCENT, marker="o", capsize=3
    )
    gain.set_ylabel("knowledge (nats)")
    for axes in (nats, gain):
        axes.set_xscale("log", base=2)
        axes.set_xticks(table["exposure"], [str(exposure) for exposure in table["exposure"]])
        axes.minorticks_off()
        axes.set_xlabel("times injected in training")
    return figure
