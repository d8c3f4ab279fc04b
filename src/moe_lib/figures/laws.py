"""Figures of laws: slices and surfaces, a fit against its runs, profiles, and fits beside published ones."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.stats import chi2

from moe_lib.figures.style import (
    ACCENT,
    INK,
    LOSS_LABEL,
    MUTED,
    count_axis,
    flops_axis,
    log_inverse_density,
    new_figure,
    sparsity_axis,
    sparsity_color,
    sparsity_label,
)
from moe_lib.laws.optimum import Budget


def slices(budget: Budget, sparsities: Iterable[float], sizes: Sequence[float], studied: tuple[float, float]) -> Figure:
    """Loss against N and against N_a at one budget, one curve per sparsity with its optimum marked.

    `studied` is the range of N to shade on the left.
    """
    figure, (left, right) = new_figure("full", height=3.9, columns=2, sharey=True)
    left.axvspan(*studied, color="#f3f4f7", zorder=0, lw=0)
    for s in sparsities:
        n, best = np.asarray(sizes), float(budget.best_size(s))
        for axes, x, at in ((left, n, best), (right, budget.active(n, s), float(budget.active(best, s)))):
            axes.plot(x, budget.loss(n, s), color=sparsity_color(s), label=sparsity_label(s))
            axes.plot(at, budget.loss(best, s), "o", color=sparsity_color(s), markeredgecolor="white", zorder=3)
    count_axis(left.xaxis, "total parameters N")
    count_axis(right.xaxis, "active parameters $N_a$")
    left.set_ylabel(LOSS_LABEL)
    top = float(budget.loss(budget.best_size(0.0), 0.0))
    left.set_ylim(top - 0.55, top + 0.45)
    left.set_xlim(min(sizes), max(sizes))
    right.set_xlim(2e7, 1e10)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def law_surface(
    budget: Budget,
    sizes: tuple[float, float],
    cloud: pd.DataFrame | None = None,
    data: tuple[float, float] | None = None,
    best: tuple[float, float] | None = None,
) -> Figure:
    """Contours of the loss over N and S at one budget, with N* at each S and S* at each N.

    `cloud` (columns N and S) are optima of bootstrap refits, and `best` is that of the fit; `data` is the largest N and
    S of the law's own runs.
    """
    figure, axes = new_figure("full", height=4.3)
    n, s = np.geomspace(*sizes, 120), np.linspace(0, -np.log(0.008), 100)
    loss = budget.loss(n, -np.expm1(-s)[:, None])
    steps = np.concatenate([[0, 0.01, 0.02], np.arange(0.05, 0.55, 0.05)])
    axes.contourf(n, s, loss - loss.min(), levels=steps, cmap="Blues_r", extend="max", alpha=0.8)
    lines = axes.contour(n, s, loss, levels=loss.min() + steps[1:], colors="white", linewidths=0.7)
    axes.clabel(lines, lines.levels[3::2], fmt="%.2f", fontsize=8, colors=INK)
    at_s = budget.best_size(-np.expm1(-s))
    axes.plot(at_s, s, color=INK, label="best N at each S")
    axes.plot(n, log_inverse_density(budget.best_sparsity(n)), color=ACCENT, ls="--", label="best S at each N")
    if data is not None:
        limit = [log_inverse_density(data[1])] * 2
        axes.plot([sizes[0], data[0], data[0]], [*limit, 0], color=MUTED, lw=1.1, ls=":", label="end of the law's data")
    if cloud is not None:
        axes.plot(
            cloud["N"],
            log_inverse_density(cloud["S"]),
            "o",
            color=ACCENT,
            ms=4,
            mew=0,
            alpha=0.35,
            label="bootstrap refits",
        )
    if best is not None:
        axes.plot(best[0], log_inverse_density(best[1]), "*", color=INK, mec="white", ms=13, ls="", label="optimum")
    count_axis(axes.xaxis, "total parameters N")
    sparsity_axis(axes.yaxis)
    axes.set(xlim=sizes, ylim=(0, s[-1]))
    axes.grid(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if cloud is not None else 3)
    return figure


def fit_and_residuals(runs: pd.DataFrame, predicted: Sequence[float]) -> Figure:
    """Observed against predicted loss, and residuals of log loss (percent) against N, D, S and C.

    `runs` has columns N, D, S, C and L.
    """
    figure, grid = new_figure("full", height=5.2, rows=2, columns=3)
    residual = 100 * (np.log(np.asarray(predicted)) - np.log(runs["L"].to_numpy()))
    colours = [sparsity_color(s) for s in runs["S"]]
    first = grid[0, 0]
    first.scatter(predicted, runs["L"], c=colours, s=9)
    ends = [runs["L"].min(), runs["L"].max()]
    first.plot(ends, ends, color=MUTED, lw=0.9, zorder=0)
    first.set(xlabel="predicted loss", ylabel="observed loss")
    labels = {"N": "parameters N", "D": "tokens D", "C": "budget C (FLOPs)"}
    panels = {"N": (grid[0, 1], runs["N"]), "D": (grid[0, 2], runs["D"]), "C": (grid[1, 1], runs["C"])}
    panels["S"] = (grid[1, 0], log_inverse_density(runs["S"]))
    for name, (axes, x) in panels.items():
        axes.scatter(x, residual, c=colours, s=9)
        axes.axhline(0, color=MUTED, lw=0.9, zorder=0)
        if name == "S":
            sparsity_axis(axes.xaxis, (0, 0.75, 0.95))
        else:
            (flops_axis if name == "C" else count_axis)(axes.xaxis, labels[name])
            axes.xaxis.set_major_locator(LogLocator(base=10, numticks=4))
            axes.xaxis.set_minor_formatter(NullFormatter())
    for axes in (grid[0, 1], grid[1, 0]):
        axes.set_ylabel("residual (% of loss)")
    grid[1, 2].hist(residual, bins=24, color="#9cb4cf")
    grid[1, 2].set(xlabel="residual (%)", ylabel="runs")
    return figure


def profiles(curves: Mapping[str, pd.DataFrame], level: float = 0.95) -> Figure:
    """Likelihood-ratio statistic along each exponent, one panel each; the interval is below the dotted line."""
    figure, row = new_figure("full", height=2.9, columns=len(curves), sharey=True, squeeze=False)
    for axes, (name, curve) in zip(row[0], curves.items(), strict=True):
        axes.axhline(chi2.ppf(level, 1), color=MUTED, ls=":", lw=1)
        axes.plot(curve[name], curve["statistic"], color=INK)
        axes.plot(curve[name], curve["statistic"].where(curve["inside"]), color=ACCENT, lw=2.6)
        axes.set(xlabel=name, ylim=(-0.3, 12))
        axes.xaxis.set_major_locator(MaxNLocator(2))
    row[0, 0].set_ylabel("likelihood ratio")
    return figure


def below_published(rows: pd.DataFrame) -> Figure:
    """Improvement of our objectives over published ones; columns label, n and gain (1 - ours / published)."""
    table = rows.sort_values("gain", ignore_index=True)
    figure, axes = new_figure("full", height=5.0)
    axes.hlines(table.index, 1e-10, table["gain"], color="#d5d9e0", lw=1.2)
    axes.plot(table["gain"], table.index, "o", color=ACCENT)
    axes.set_yticks(table.index, list(table["label"]), fontsize=8)
    axes.set(xscale="log", xlim=(1e-9, 1))
    axes.set_xlabel("1 - ours / published objective")
    return figure
