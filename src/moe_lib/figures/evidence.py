"""Figures of the evidence: the runs and parabola of each sparsity, and optima by budget."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.style import (
    ACCENT,
    INK,
    LOSS_LABEL,
    MUTED,
    budget_label,
    count_axis,
    log_inverse_density,
    new_figure,
    ordered_colours,
    short_count,
    sparsity_axis,
    sparsity_color,
    sparsity_label,
)

Optima = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def optima(surfaces: Mapping[str, Optima], by_parabola: pd.DataFrame) -> Figure:
    """N*, N_a* and L* against S, from surfaces (lines, with bands for intervals) and from parabolas (diamonds, bars).

    The last panel shows S* against N, dotted if no runs are near. `surfaces` has, by name, `ResampledSurface.best_size`
    in N and in Na, and `best_sparsity` with a column `among` (near runs); the first surface is drawn boldly.
    `by_parabola` has `laws.isoflop.parabolas` in N and in Na, with columns N, Na, L and their `_low`, `_high`.
    """
    figure, grid = new_figure("full", height=5.9, rows=2, columns=2)
    *panels, at_fixed = grid.flat
    columns = (
        ("N", "low", "high", "a. best total N*"),
        ("Na", "low", "high", "b. best active $N_a^*$"),
        ("L", "L_low", "L_high", "c. loss L* there (nats per token)"),
    )
    looks = ((ACCENT, 1.9), (MUTED, 1.2))
    for (name, (total, active, at_size)), (colour, width) in zip(surfaces.items(), looks, strict=False):
        for axes, (column, low, high, _) in zip(panels, columns, strict=True):
            table = active if column == "Na" else total
            hidden = log_inverse_density(table["S"])
            axes.fill_between(hidden, table[low], table[high], color=colour, alpha=0.15, lw=0)
            axes.plot(hidden, table[column], color=colour, lw=width, label=name)
        shown = {end: log_inverse_density(np.minimum(at_size[end], 0.999)) for end in ("S", "low", "high")}
        among = at_size["among"].to_numpy(bool)
        at_fixed.fill_between(at_size["N"], shown["low"], shown["high"], where=among, color=colour, alpha=0.15, lw=0)
        at_fixed.plot(at_size["N"], np.where(among, shown["S"], np.nan), color=colour, lw=width)
        at_fixed.plot(at_size["N"], np.where(among, np.nan, shown["S"]), color=colour, lw=1.1, ls=":")
    for axes, (column, _, _, title) in zip(panels, columns, strict=True):
        at = log_inverse_density(by_parabola["S"])
        axes.vlines(at, by_parabola[f"{column}_low"], by_parabola[f"{column}_high"], color=INK, lw=1.1)
        for x, fit in zip(at, by_parabola.to_dict("records"), strict=True):
            fill = sparsity_color(fit["S"]) if fit["place"] == "inside" else "white"
            axes.plot(x, fit[column], "D", color=INK, mfc=fill, ms=6, zorder=5)
        axes.plot([], [], "D", color=INK, mfc=MUTED, label="a parabola of each S")
        axes.set_title(title)
        sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98))
        if column != "L":
            axes.set_ylim(0.5 * by_parabola[column].min(), 2 * by_parabola[column].max())
            count_axis(axes.yaxis, "")
    at_fixed.set_title("d. best sparsity S* at fixed N")
    count_axis(at_fixed.xaxis, "total parameters N")
    sparsity_axis(at_fixed.yaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99))
    at_fixed.set(ylabel="", ylim=(-0.2, log_inverse_density(0.993)))
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def raw_parabolas(runs: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """The runs of each sparsity, the parabola through them, and its vertex with its interval; one panel per sparsity.

    `runs` has columns N, S, L and `se` (error bars) at one budget; `fits` is a table of `laws.isoflop.parabolas`. A
    vertex outside the trained sizes is hollow.
    """
    columns = 4
    figure, grid = new_figure(
        "full", height=2.05 * -(-len(fits) // columns) + 0.6, rows=-(-len(fits) // columns), columns=columns,
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    everything = np.geomspace(runs["N"].min(), runs["N"].max(), 100)
    for axes, fit in zip(grid.flat, fits.to_dict("records"), strict=False):
        colour, own = sparsity_color(fit["S"]), runs[runs["S"] == fit["S"]]
        sizes = everything[(everything >= own["N"].min() / 1.3) & (everything <= own["N"].max() * 1.3)]
        axes.plot(sizes, fit["L"] + fit["curvature"] * np.log(sizes / fit["N"]) ** 2, color=colour, lw=1.4)
        axes.errorbar(own["N"], own["L"], yerr=own["se"], fmt="o", color=colour, ms=4, lw=1)
        inside = fit["place"] == "inside"
        axes.plot([fit["low"], fit["high"]], [fit["L"]] * 2, color=INK, lw=1.4, zorder=4)
        axes.plot(fit["N"], fit["L"], "D", ms=4, mec=INK, mfc=colour if inside else "white", zorder=5)
        axes.set_title(f"{sparsity_label(fit['S'])}\nN* = {short_count(fit['N'])}", fontsize=10)
    for axes in grid.flat[len(fits) :]:
        axes.axis("off")
    for axes in grid.flat[-columns:]:
        count_axis(axes.xaxis, "")
    for axes in grid.flat[: len(fits)][-columns:]:
        axes.tick_params(labelbottom=True)
    low = runs["L"].min()
    grid[0][0].set_ylim(low - 0.08, min(runs["L"].max() + 0.05, low + 1.0))
    figure.supxlabel("total parameters N", fontsize=10.5)
    figure.supylabel(LOSS_LABEL, fontsize=10.5)
    return figure


def budgets(fits: pd.DataFrame, smallest: "pd.Series[float]") -> Figure:
    """L* and N_a* against S from parabolas, one line per budget; dotted lines mark the smallest trained sizes.

    `fits` is a table of `laws.isoflop.parabolas` in Na with the column C; `smallest` is N_a, indexed by C. A vertex
    outside the trained sizes is hollow.
    """
    figure, (loss, size) = new_figure("full", height=3.3, columns=2)
    for (budget, own), colour in zip(fits.groupby("C"), ordered_colours(fits["C"].nunique()), strict=True):
        at = log_inverse_density(own["S"])
        for axes, name, low, high in ((loss, "L", "L_low", "L_high"), (size, "Na", "low", "high")):
            axes.plot(at, own[name], color=colour, lw=1.3, label=budget_label(own["C"].iloc[0]))
            axes.vlines(at, own[low], own[high], color=colour, lw=1.1)
            for x, y, place in zip(at, own[name], own["place"], strict=True):
                axes.plot(x, y, "D", color=colour, mfc=colour if place == "inside" else "white", ms=5.5)
        size.axhline(smallest[budget], color=colour, lw=1, ls=":")
    for axes in (loss, size):
        sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98))
    loss.set_title("a. loss L* at the best size (nats per token)")
    size.set_title("b. best active $N_a^*$")
    size.set_ylim(0.7 * smallest.min(), 1.5 * fits["Na"].max())
    count_axis(size.yaxis, "")
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
