"""Figures of tuning and noise: best rates and batches, the start of training, a rule's regret, and seed noise."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from moe_lib.figures.style import (
    INK,
    MUTED,
    budget_label,
    new_figure,
    ordered_colours,
    sparsity_color,
    sparsity_label,
)

Curve = Mapping[str, Sequence[float]]
CEILING = 0.6  # nats; panels end this far above the lowest loss of their row


def rates_and_batches(table: pd.DataFrame, context_length: int) -> Figure:
    """Loss against the peak learning rate: one row per model size, one column per sparsity, one line per batch size.

    A ring marks the lowest run of each panel. `table` is as in `analysis.tuning`, with d_model and n_layers; runs that
    diverged are left out.
    """
    sizes = list(
        table[["d_model", "n_layers"]].drop_duplicates().sort_values(["d_model", "n_layers"]).itertuples(index=False)
    )
    sparsities, batches = sorted(table["sparsity"].unique()), sorted(table["batch_size"].unique())
    figure, grid = new_figure(
        "full", height=1.1 + 1.75 * len(sizes), rows=len(sizes), columns=len(sparsities),
        sharex=True, sharey="row", squeeze=False,
    )  # fmt: skip
    colours = ordered_colours(len(batches))
    for row, (width, depth) in zip(grid, sizes, strict=True):
        own = table[(table["d_model"] == width) & (table["n_layers"] == depth)]
        for axes, sparsity in zip(row, sparsities, strict=True):
            runs = own[own["sparsity"] == sparsity].dropna(subset="loss").sort_values("learning_rate")
            for batch, colour in zip(batches, colours, strict=True):
                line = runs[runs["batch_size"] == batch]
                label = f"{batch * context_length:,} tokens per step"
                axes.plot(line["learning_rate"], line["loss"], "o-", color=colour, ms=4, label=label)
            if len(runs):
                best = runs.loc[runs["loss"].idxmin()]
                axes.plot(best["learning_rate"], best["loss"], "o", ms=11, mfc="none", mec=INK, mew=1.1)
            axes.set_xscale("log")
        low = own["loss"].min()
        row[0].set_ylim(low - 0.06, low + CEILING)
        row[0].set_ylabel(f"d = {width}, {depth} layer{'s' * (depth > 1)}\nloss (nats)")
    rates = sorted(table["learning_rate"].unique())[1::2]
    for axes, sparsity in zip(grid[0], sparsities, strict=True):
        axes.set_title(sparsity_label(sparsity))
    for axes in grid[-1]:
        axes.xaxis.set_major_locator(FixedLocator(rates))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        axes.set_xlabel("peak learning rate")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def plateau(curves: Mapping[str, Mapping[float, Curve]], runs: pd.DataFrame, guessing: float, end: float) -> Figure:
    """Training loss against step for some runs, and the share of its steps that a run needs to fall below `end` (nats).

    `curves` has, by title, one curve per sparsity (`step`, last of a bin, and `loss`, its mean, as in a ledger row);
    `runs` has columns n_steps, sparsity and share. `guessing` is the loss of a uniform guess.
    """
    figure, row = new_figure("full", height=3.3, columns=len(curves) + 1, squeeze=False)
    *panels, last = row[0]
    for axes, (title, own) in zip(panels, curves.items(), strict=True):
        for level in (guessing, end):
            axes.axhline(level, color=MUTED, lw=0.9, ls=(0, (4, 3)))
        for sparsity, curve in own.items():
            axes.plot(
                curve["step"], curve["loss"], color=sparsity_color(sparsity), lw=1.5, label=sparsity_label(sparsity)
            )
        axes.set(xscale="log", xlabel="step", title=title, ylim=(3, guessing + 0.3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panels[0].set_ylabel("training loss (nats per token)")
    colours = [sparsity_color(sparsity) for sparsity in runs["sparsity"]]
    last.scatter(runs["n_steps"], runs["share"], c=colours, s=16, ec="white", lw=0.5)
    last.set(xscale="log", xlabel="steps of the run", title=f"steps above {end:g}", ylim=(0, 1))
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    last.yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def regret_of_rates(runs: pd.DataFrame, regrets: pd.DataFrame) -> Figure:
    """Loss above the best rate's against the rate over the rule's: one panel per sparsity, one colour per budget.

    `runs` and `regrets` are the tables of `above_vertex` and `regret` in `analysis.regret`. A curve is the fitted
    parabola, a bar the interval of its vertex; the rule is at 1.
    """
    sparsities, budgets = sorted(regrets["sparsity"].unique()), sorted(regrets["flops"].unique())
    figure, row = new_figure("full", height=3.1, columns=len(sparsities), sharex=True, sharey=True, squeeze=False)
    span = np.exp(np.linspace(runs["offset"].min(), runs["offset"].max(), 60))
    for axes, sparsity in zip(row[0], sparsities, strict=True):
        axes.axvline(1, color=MUTED, lw=0.9)
        for level, (budget, colour) in enumerate(zip(budgets, ordered_colours(len(budgets)), strict=True)):
            its = (regrets["flops"] == budget) & (regrets["sparsity"] == sparsity)
            own = runs[(runs["flops"] == budget) & (runs["sparsity"] == sparsity)]
            axes.plot(np.exp(own["offset"]), own["above"], "o", color=colour, ms=4, mec="white", mew=0.5,
                      label=budget_label(budget))  # fmt: skip
            for fit in regrets[its].to_dict("records"):
                axes.plot(span, fit["curvature"] * np.log(span / fit["factor"]) ** 2, color=colour, lw=1.3)
                height = -0.03 * (level + 1)
                axes.plot(
                    np.clip([fit["factor_low"], fit["factor_high"]], span[0], span[-1]), [height] * 2, color=colour
                )
                axes.plot(
                    np.clip(fit["factor"], span[0], span[-1]), height, "D", color=colour, ms=4.5, mec=INK, mew=0.8
                )
        axes.set(xscale="log", title=sparsity_label(sparsity))
        axes.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("rate over the rule's")
    row[0][0].set_ylim(-0.03 * (len(budgets) + 1), min(0.4, runs["above"].max() + 0.02))
    row[0][0].set_ylabel("loss above the best rate's\n(nats per token)")
    handles, labels = row[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def noise(table: pd.DataFrame, spread: "pd.Series[float]") -> Figure:
    """The loss of each seed above the mean of its cell (one shape, sparsity and budget), by sparsity.

    Bars are one pooled standard deviation. `table` has columns S, shape and `above` (loss minus the cell's mean);
    `spread` is indexed by S.
    """
    figure, axes = new_figure("full", height=3.0)
    sizes = sorted(table["shape"].unique(), key=lambda shape: [int(part) for part in shape.split(" x ")])
    for number, sparsity in enumerate(spread.index):
        axes.fill_between([number - 0.32, number + 0.32], -spread[sparsity], spread[sparsity],
                          color=sparsity_color(sparsity), alpha=0.15, lw=0)  # fmt: skip
        for place, shape in enumerate(sizes):
            own = table[(table["S"] == sparsity) & (table["shape"] == shape)]
            at = number + 0.5 * (place - (len(sizes) - 1) / 2) / max(len(sizes) - 1, 1)
            axes.plot([at] * len(own), own["above"], "os^Dv"[place], color=sparsity_color(sparsity), ms=5,
                      mec="white", mew=0.6)  # fmt: skip
    axes.axhline(0, color=MUTED, lw=0.9)
    axes.set_xticks(range(len(spread)), [f"{sparsity_label(s)}\nsd {spread[s]:.3f}" for s in spread.index])
    axes.set_ylabel("loss minus the mean over seeds\n(nats per token)")
    for place, shape in enumerate(sizes):
        axes.plot([], [], "os^Dv"[place], color=MUTED, label=f"d x layers = {shape}")
    figure.legend(loc="outside lower center", ncols=len(sizes))
    axes.grid(axis="x", visible=False)
    return figure
