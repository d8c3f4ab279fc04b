"""Figures of Section 4: probes against the upstream loss, effects of sparsity at equal loss, and what could be seen."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moe_lib.analysis.probes import MARGIN, power
from moe_lib.figures.style import (
    ACCENT,
    INK,
    LARGE,
    MUTED,
    enlarge,
    log_inverse_density,
    new_figure,
    sparsity_axis,
    sparsity_color,
    sparsity_label,
)

BAND = "#eef0f4"  # where sparsity counts as having no effect, or where every sparsity has runs
HUES = (INK, ACCENT, "#2a6fbb", "#3aa17e", "#c77d1e", "#8e6bbf", MUTED)


def skill_against_loss(runs: pd.DataFrame, panels: Mapping[str, str], support: tuple[float, float]) -> Figure:
    """Probes against the upstream loss, a panel each, coloured by sparsity; the band is what every sparsity reaches.

    `runs` is a `probe_table`; `panels` maps its probes to titles. The curve is a parabola in the loss through all
    runs, whatever their sparsity.
    """
    rows = -(-len(panels) // 2)
    figure, grid = new_figure("full", height=2.7 * rows + 0.7, rows=rows, columns=2, sharex=True, squeeze=False)
    for axes, (probe, title) in zip(grid.flat, panels.items(), strict=False):
        known = runs.dropna(subset=[probe])
        axes.axvspan(*support, color=BAND, lw=0, zorder=0)
        along = np.linspace(known["loss"].min(), known["loss"].max(), 60)
        curve = np.polyfit(known["loss"], known[probe], 2)
        axes.plot(along, np.polyval(curve, along), color=MUTED, lw=1.4, zorder=1)
        for sparsity, own in known.groupby("sparsity"):
            s = float(str(sparsity))
            axes.plot(own["loss"], own[probe], "o", color=sparsity_color(s), mec="white", mew=0.5, ms=6,
                      label=sparsity_label(s))  # fmt: skip
        axes.set_title(title)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        enlarge(axes)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("upstream loss (nats)", fontsize=LARGE)
    figure.supylabel("cost of the right answer (nats)", fontsize=LARGE)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=LARGE, handletextpad=0.2,
                  columnspacing=1.0)  # fmt: skip
    return figure


def effects_at_equal_loss(effects: pd.DataFrame, margin: float = MARGIN) -> Figure:
    """Each probe's effect of sparsity at equal loss with its 95 % interval; the band is the margin of equivalence.

    Columns name, effect (NaN for a probe that measures nothing), low, high, equivalent.
    """
    figure, axes = new_figure("full", height=0.4 * len(effects) + 1.1)
    axes.axvspan(-margin, margin, color=BAND, lw=0, zorder=0)
    axes.axvline(0, color=MUTED, lw=1)
    for y, row in zip(range(len(effects), 0, -1), effects.to_dict("records"), strict=True):
        if np.isnan(row["effect"]):
            axes.text(0, y, "measures nothing here", ha="center", va="center", fontsize=LARGE, color=MUTED)
            continue
        colour = INK if row["equivalent"] else ACCENT
        axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=2.4)
        axes.plot(row["effect"], y, "o", color=colour, mfc=colour if row["equivalent"] else "white", ms=8, mew=1.8)
    reach = 1.15 * max(2 * margin, effects["high"].max(), -effects["low"].min())
    axes.set(xlim=(-reach, reach), ylim=(0.4, len(effects) + 0.6), xlabel="sparser is better  |  sparser is worse")
    axes.set_yticks(range(len(effects), 0, -1), effects["name"])
    axes.grid(axis="y", visible=False)
    enlarge(axes)
    return figure


def power_of_tests(tested: pd.DataFrame, reach: float = 0.4) -> Figure:
    """The probability that a test sees an effect, against the effect, a line per probe; dots are at 80 %.

    Columns name, error, freedom and visible (the effect at 80 %), all in nats of upstream loss.
    """
    figure, axes = new_figure("full", height=3.7)
    effect = np.linspace(0, reach, 200)
    axes.axvspan(0, MARGIN, color=BAND, lw=0, zorder=0)
    axes.axhline(0.8, color=MUTED, lw=0.9, ls="--")
    for row, colour in zip(tested.to_dict("records"), HUES, strict=False):
        axes.plot(effect, power(effect, row["error"], row["freedom"]), color=colour, label=row["name"])
        axes.plot(row["visible"], 0.8, "o", color=colour, mec="white", ms=8, zorder=4)
    axes.set(xlim=(0, reach), ylim=(0, 1.03), xlabel="true effect of sparsity (nats of upstream loss)",
             ylabel="chance to see it")  # fmt: skip
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(loc="lower right", fontsize=LARGE)
    enlarge(axes)
    return figure


def open_and_closed(runs: pd.DataFrame) -> Figure:
    """Nats of the same answers closed-book, after a stranger's name and open-book; and what the right name saves.

    Columns loss, sparsity, closed, stranger, open, knowledge and knowledge_error (nats), a row per run.
    """
    figure, (nats, saved) = new_figure("full", height=3.9, columns=2)
    looks = (("stranger", "stranger's name", MUTED), ("closed", "right name", INK), ("open", "fact in context", ACCENT))
    for column, label, colour in looks:
        nats.plot(runs["loss"], runs[column], "o", color=colour, mec="white", mew=0.5, ms=6, label=label)
    nats.set(xlabel="upstream loss", ylabel="nats of the answer", title="a. the same answers")
    nats.xaxis.set_major_locator(MaxNLocator(4))
    _by_sparsity(saved, runs)
    saved.set(title="b. what the name saves", ylabel="knowledge (nats)")
    for axes in (nats, saved):
        enlarge(axes)
    figure.legend(*nats.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=LARGE,
                  handletextpad=0.2, columnspacing=1.0)  # fmt: skip
    return figure


def _by_sparsity(axes: Axes, runs: pd.DataFrame) -> None:
    """Knowledge of each run and its mean at each sparsity."""
    axes.axhline(0, color=MUTED, lw=1)
    for sparsity, own in runs.groupby("sparsity"):
        s = float(str(sparsity))
        at = float(log_inverse_density(s))
        axes.plot(
            [at] * len(own), own["knowledge"], "o", color=sparsity_color(s), mec="white", mew=0.5, ms=5, alpha=0.6
        )
        axes.plot(at, own["knowledge"].mean(), "_", color=INK, ms=20, mew=2.4, zorder=4)
    sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.98))


def scores_beside_chance(tasks: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Accuracy of one model on tasks with 95 % binomial intervals, beside chance (ticks); columns as in a report."""
    figure, axes = new_figure("full", height=0.34 * len(tasks) + 1.1)
    for y, row in enumerate(tasks.to_dict("records")):
        half = 1.96 * max(row["accuracy_standard_error"], (row["chance"] * (1 - row["chance"]) / row["n"]) ** 0.5)
        above = row["accuracy"] - half > row["chance"]
        axes.plot([row["accuracy"] - half, row["accuracy"] + half], [-y, -y], color=ACCENT if above else INK, lw=2.2)
        axes.plot(row["accuracy"], -y, "o", color=ACCENT if above else INK, ms=7)
        axes.plot(row["chance"], -y, "|", color=MUTED, ms=16, mew=2.6, label="chance" if y == 0 else None)
    axes.set_yticks(range(0, -len(tasks), -1), list(names))
    axes.set(xlabel="share of right answers", xlim=(-0.03, 1))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", fontsize=LARGE)
    enlarge(axes)
    return figure
