"""Figures of the evidence: how the runs were tuned, what each sparsity says by itself, where budgets and optima lie."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from moe_lib.figures.style import (
    ACCENT,
    INK,
    LOSS_LABEL,
    MUTED,
    count_axis,
    log_inverse_density,
    new_figure,
    short_count,
    sparsity_axis,
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


def price(runs: pd.DataFrame, prices: pd.DataFrame) -> Figure:
    """Loss above the best rate's against the rate over the rule's: a panel a sparsity, a colour a budget.

    `runs` and `prices` as `above_vertex` and `price` of `sweeps.peak_rate` give them. The curve is the fitted parabola,
    the bar the interval of its vertex; the rule stands at 1.
    """
    sparsities, budgets = sorted(prices["sparsity"].unique()), sorted(prices["flops"].unique())
    figure, row = new_figure("full", height=3.1, columns=len(sparsities), sharex=True, sharey=True, squeeze=False)
    span = np.exp(np.linspace(runs["offset"].min(), runs["offset"].max(), 60))
    for axes, sparsity in zip(row[0], sparsities, strict=True):
        axes.axvline(1, color=MUTED, lw=0.9)
        for level, (budget, shade) in enumerate(zip(budgets, np.linspace(0.8, 0.1, len(budgets)), strict=True)):
            its = (prices["flops"] == budget) & (prices["sparsity"] == sparsity)
            own = runs[(runs["flops"] == budget) & (runs["sparsity"] == sparsity)]
            colour = BATCH_COLOURS(shade)
            axes.plot(np.exp(own["offset"]), own["above"], "o", color=colour, ms=4, mec="white", mew=0.5,
                      label=f"C = {budget:.0e}".replace("e+", "e"))  # fmt: skip
            for fit in prices[its].to_dict("records"):
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
    row[0][0].set_ylabel("loss above the best rate's\n(nats a token)")
    handles, labels = row[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def noise(table: pd.DataFrame, spread: "pd.Series[float]") -> Figure:
    """The loss of each seed about the mean of its cell, by sparsity; bars are one standard deviation, pooled.

    `table` has columns S, N_a (as `Na`) and `above` (loss over the mean of the cell); `spread` is indexed by S.
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
    axes.set_ylabel("loss over its cell's mean\n(nats a token)")
    for place, shape in enumerate(sizes):
        axes.plot([], [], "os^Dv"[place], color=MUTED, label=f"d x layers = {shape}")
    figure.legend(loc="outside lower center", ncols=len(sizes))
    axes.grid(axis="x", visible=False)
    return figure


def optima(
    by_surface: pd.DataFrame, by_active: pd.DataFrame, by_parabola: pd.DataFrame, at_size: pd.DataFrame
) -> Figure:
    """N*, N_a* and L* against S, from the surface (line, band of its interval) and from parabolas (diamonds, bars);
    S* against N, broken where no runs are near.

    The first two of `ResampledSurface.best_size`, in N and in Na; then `laws.isoflop.parabolas` in N and in Na, with
    columns N, Na, L and their `_low`, `_high`; last `best_sparsity`, with a column `among` (runs).
    """
    figure, grid = new_figure("full", height=5.9, rows=2, columns=2)
    panels = zip(
        grid.flat,
        ("a. best total N*", "b. best active $N_a^*$", "c. loss L* there (nats a token)"),
        (by_surface, by_active, by_surface),
        ("N", "Na", "L"),
        strict=False,
    )
    for axes, title, table, column in panels:
        hidden = log_inverse_density(table["S"])
        low, high = ("L_low", "L_high") if column == "L" else ("low", "high")
        axes.fill_between(hidden, table[low], table[high], color=ACCENT, alpha=0.15, lw=0)
        axes.plot(hidden, table[column], color=ACCENT, label="surface (Equation 8)")
        for fit in by_parabola.to_dict("records"):
            at, inside = log_inverse_density(fit["S"]), fit["place"] == "inside"
            axes.plot([at, at], [fit[f"{column}_low"], fit[f"{column}_high"]], color=INK, lw=1.1)
            axes.plot(
                at, fit[column], "D", color=INK, mfc=sparsity_color(fit["S"]) if inside else "white", ms=6, zorder=5
            )
        axes.plot([], [], "D", color=INK, mfc=MUTED, label="a parabola of each S")
        axes.set_title(title)
        sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98))
        if column != "L":
            axes.set_ylim(0.5 * table[column].min(), 2 * table[column].max())
            count_axis(axes.yaxis, "")
    axes = grid[1][1]
    hidden = {name: log_inverse_density(np.minimum(at_size[name], 0.999)) for name in ("S", "low", "high")}
    among = at_size["among"].to_numpy(bool)
    axes.fill_between(at_size["N"], hidden["low"], hidden["high"], color=ACCENT, alpha=0.15, lw=0)
    axes.plot(at_size["N"], np.where(among, hidden["S"], np.nan), color=ACCENT)
    axes.plot(at_size["N"], np.where(among, np.nan, hidden["S"]), color=ACCENT, lw=1.1, ls=":")
    axes.set_title("d. best sparsity S* at fixed N")
    count_axis(axes.xaxis, "total parameters N")
    sparsity_axis(axes.yaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99))
    axes.set(ylabel="", ylim=(-0.2, log_inverse_density(0.993)))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def raw_parabolas(runs: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Each sparsity by itself: its runs, the parabola through them, and where its vertex lies (bar: interval).

    `runs` has columns N, S, L and `se` (its bar), one budget; `fits` is a table of `laws.isoflop.parabolas`. A vertex
    outside the sizes that were trained is hollow.
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
            f"N* = {short_count(fit['N'])}", (0.97, 0.04), xycoords="axes fraction", ha="right", fontsize=9, color=MUTED
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


def budgets(fits: pd.DataFrame, smallest: "pd.Series[float]") -> Figure:
    """L* and N_a* against S, a line a budget, from parabolas; the dotted lines are the smallest sizes trained.

    `fits` is a table of `laws.isoflop.parabolas` in Na with the column C; `smallest` is N_a, indexed by C. A vertex
    outside the sizes that were trained is hollow.
    """
    figure, (loss, size) = new_figure("full", height=3.3, columns=2)
    shades = np.linspace(0.8, 0.1, fits["C"].nunique())
    for (budget, own), shade in zip(fits.groupby("C"), shades, strict=True):
        colour, at = BATCH_COLOURS(shade), log_inverse_density(own["S"])
        for axes, name, low, high in ((loss, "L", "L_low", "L_high"), (size, "Na", "low", "high")):
            axes.plot(at, own[name], color=colour, lw=1.3, label=f"C = {budget:.0e}".replace("e+", "e"))
            axes.vlines(at, own[low], own[high], color=colour, lw=1.1)
            for x, y, place in zip(at, own[name], own["place"], strict=True):
                axes.plot(x, y, "D", color=colour, mfc=colour if place == "inside" else "white", ms=5.5)
        size.axhline(smallest[budget], color=colour, lw=1, ls=":")
    for axes in (loss, size):
        sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98))
    loss.set_title("a. loss L* at the best size (nats a token)")
    size.set_title("b. best active $N_a^*$")
    size.set_ylim(0.7 * smallest.min(), 1.5 * fits["Na"].max())
    count_axis(size.yaxis, "")
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
