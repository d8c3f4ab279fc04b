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


def answered(table: pd.DataFrame) -> Figure:
    """The share of right answers of each question with its 95 % interval, beside chance and the untrained model.

    `table` is that of `analysis.questions.answers`; an interval wholly above chance is drawn in the accent's colour.
    """
    figure, axes = new_figure("full", height=0.9 + 0.31 * len(table))
    for place, row in enumerate(table.to_dict("records")):
        colour = ACCENT if row["low"] > row["chance"] else INK
        axes.plot([row["low"], row["high"]], [-place] * 2, color=colour, lw=1.6)
        axes.plot(row["accuracy"], -place, "o", color=colour, ms=6, label=None if place else "trained")
        axes.plot(row["untrained"], -place, "o", color=MUTED, mfc="white", ms=5, label=None if place else "untrained")
        axes.plot(row["chance"], -place, "|", color=MUTED, ms=15, mew=2, label=None if place else "chance")
    labels = [f"{row['question']} ({row['n']:.0f})" for row in table.to_dict("records")]
    axes.set_yticks([-place for place in range(len(table))], labels, fontsize=10.5)
    axes.set(xlim=(0, 1), ylim=(0.6 - len(table), 0.6))
    axes.set_xlabel("share right (number of questions)", fontsize=11.5)
    axes.tick_params(axis="x", labelsize=11)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=11)
    return figure
