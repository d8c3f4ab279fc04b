"""Figures of the evidence: how the runs were tuned, and what each sparsity says by itself."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from moe_lib.figures.style import (
    INK,
    LOSS_LABEL,
    MUTED,
    count_axis,
    new_figure,
    short_count,
    sparsity_color,
    sparsity_label,
)

BATCH_COLOURS = colormaps["viridis"]
CEILING = 0.6  # nats above the lowest loss of a row at which its panels end


def tuning(table: pd.DataFrame, context_length: int) -> Figure:
    """Loss against the peak learning rate: a row a model size, a column a sparsity, a line a batch size; the lowest
    run of each panel is ringed.

    `table` as in `sweeps.tuning`, with d_model and n_layers; a run that diverged is left out of its line.
    """
    sizes = list(
        table[["d_model", "n_layers"]].drop_duplicates().sort_values(["d_model", "n_layers"]).itertuples(index=False)
    )
    sparsities, batches = sorted(table["sparsity"].unique()), sorted(table["batch_size"].unique())
    figure, grid = new_figure(
        "full", height=1.1 + 1.75 * len(sizes), rows=len(sizes), columns=len(sparsities),
        sharex=True, sharey="row", squeeze=False,
    )  # fmt: skip
    shades = np.linspace(0.8, 0.1, len(batches))
    for row, (width, depth) in zip(grid, sizes, strict=True):
        own = table[(table["d_model"] == width) & (table["n_layers"] == depth)]
        for axes, sparsity in zip(row, sparsities, strict=True):
            runs = own[own["sparsity"] == sparsity].dropna(subset="loss").sort_values("learning_rate")
            for batch, shade in zip(batches, shades, strict=True):
                line = runs[runs["batch_size"] == batch]
                label = f"{batch * context_length:,} tokens a step"
                axes.plot(line["learning_rate"], line["loss"], "o-", color=BATCH_COLOURS(shade), ms=4, label=label)
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


def raw_parabolas(runs: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Each sparsity by itself: its runs, the parabola through them, and where its vertex lies (bar: interval).

    `runs` has columns N, S, L and `se`, one budget; `fits` is a table of `laws.isoflop.parabolas`. A vertex outside the
    sizes that were trained is hollow.
    """
    columns = 4
    figure, grid = new_figure(
        "full", height=1.85 * -(-len(fits) // columns) + 0.6, rows=-(-len(fits) // columns), columns=columns,
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    everything = np.geomspace(runs["N"].min(), runs["N"].max(), 100)
    for axes, fit in zip(grid.flat, fits.to_dict("records"), strict=False):
        colour, own = sparsity_color(fit["S"]), runs[runs["S"] == fit["S"]]
        sizes = everything[(everything >= own["N"].min() / 1.3) & (everything <= own["N"].max() * 1.3)]
        axes.plot(sizes, fit["L"] + fit["curvature"] * np.log(sizes / fit["N"]) ** 2, color=colour, lw=1.4)
        axes.errorbar(own["N"], own["L"], yerr=own["se"], fmt="o", color=colour, ms=4, lw=1)
        inside = fit["place"] == "inside"
        axes.plot([fit["low"], fit["high"]], [fit["L"]] * 2, color=INK, lw=1.1)
        axes.plot(fit["N"], fit["L"], "D", ms=6.5, mec=INK, mfc=colour if inside else "white")
        axes.annotate(
            f"N* = {short_count(fit['N'])}", (0.5, 0.93), xycoords="axes fraction", ha="center", fontsize=9, color=MUTED
        )
        axes.set_title(sparsity_label(fit["S"]))
    for axes in grid.flat[len(fits) :]:
        axes.axis("off")
    for axes in grid[-1]:
        count_axis(axes.xaxis, "")
    low = runs["L"].min()
    grid[0][0].set_ylim(low - 0.08, min(runs["L"].max() + 0.05, low + 1.0))
    figure.supxlabel("total parameters N", fontsize=10.5)
    figure.supylabel(LOSS_LABEL, fontsize=10.5)
    return figure
