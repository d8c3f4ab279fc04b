"""Figures of the primer: a valley built point by point, the terms that make it, and the valleys of several budgets."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from moe_lib.figures.style import (
    ACCENT,
    INK,
    LARGE,
    MUTED,
    budget_label,
    count_axis,
    enlarge,
    new_figure,
    ordered_colours,
    short_count,
)
from moe_lib.laws.optimum import Budget

DENSE = 0.0
TERMS = {"e": ("no model avoids it, e", "#d5d9e0"), "b": ("too few tokens, b / $D^β$", "#9cc4de")} | {
    "a": ("too small a model, a / $N^α$", "#6a4c93")
}


def valley_in_steps(budget: Budget, sizes: Sequence[float]) -> Figure:
    """Loss against N in four steps: one model, its neighbours, all `sizes`, and the curve with its minimum.

    The first of `sizes` is the first model; two more follow in the second panel.
    """
    figure, grid = new_figure("full", height=6.2, rows=2, columns=2, sharex=True, sharey=True)
    titles = ("1. One model", "2. Other sizes, the same budget", "3. More of them", "4. The valley")
    losses = budget.loss(np.asarray(sizes), DENSE)
    best = float(budget.best_size(DENSE))
    line = np.geomspace(min(sizes) / 1.4, max(sizes) * 1.4, 200)
    for axes, title, shown in zip(grid.flat, titles, (1, 3, len(sizes), len(sizes)), strict=True):
        axes.set_title(title)
        for i in range(shown):
            axes.plot(sizes[i], losses[i], "o", color=INK, ms=6, zorder=3)
        for i in range(shown if shown < len(sizes) else 0):
            _note(axes, sizes[i], float(losses[i]), f"N = {short_count(sizes[i])}\nD = {_tokens(budget, sizes[i])}")
    last = grid[1, 1]
    last.plot(line, budget.loss(line, DENSE), color=INK, zorder=2)
    last.plot(best, budget.loss(best, DENSE), "D", color=ACCENT, ms=8, zorder=4)
    _note(last, best, float(budget.loss(best, DENSE)), f"N* = {short_count(best)}", ACCENT)
    for axes in grid[1]:
        count_axis(axes.xaxis, "parameters N")
    for axes in grid.flat:
        axes.xaxis.set_major_locator(FixedLocator([1e8, 3e8, 1e9, 3e9, 1e10]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlim=(line[0], line[-1]), ylim=(losses.min() - 0.17, losses.max() + 0.06))
    for axes in grid[:, 0]:
        axes.set_ylabel("loss L (nats per token)")
    for axes in grid.flat:
        enlarge(axes)
    return figure


def terms_of_valley(budget: Budget, sizes: tuple[float, float], height: float = 1.05) -> Figure:
    """What each term of Eq. 5 adds to the loss along one isoFLOP curve, stacked; the lowest total is marked.

    The axis of loss begins just below the constant term and is `height` nats high.
    """
    figure, axes = new_figure("half", height=3.9)
    n = np.geomspace(*sizes, 200)
    terms = budget.law.terms(N=n, D=budget.tokens(n, DENSE))
    axes.stackplot(
        n,
        [np.broadcast_to(terms[name], n.shape) for name in TERMS],
        labels=[label for label, _ in TERMS.values()],
        colors=[colour for _, colour in TERMS.values()],
        lw=0,
    )
    best = float(budget.best_size(DENSE))
    axes.plot(n, budget.loss(n, DENSE), color=INK)
    axes.plot(best, budget.loss(best, DENSE), "D", color=ACCENT, ms=8, zorder=4)
    low = float(np.min(terms["e"])) - 0.1
    axes.set(xlim=sizes, ylim=(low, low + height + 0.1))
    axes.grid(False)
    count_axis(axes.xaxis, "parameters N")
    axes.set_ylabel("loss L (nats per token)")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center")
    return figure


def valleys(budget: Budget, budgets: Sequence[float], sizes: tuple[float, float]) -> Figure:
    """The isoFLOP curves of several training budgets under one law, with the line through their minima."""
    figure, axes = new_figure("half", height=3.9)
    n, minima = np.geomspace(*sizes, 200), []
    for flops, colour in zip(budgets, ordered_colours(len(budgets)), strict=True):
        own = replace(budget, flops=flops)
        best = float(own.best_size(DENSE))
        minima.append((best, float(own.loss(best, DENSE))))
        axes.plot(n, own.loss(n, DENSE), color=colour, label=budget_label(flops))
    axes.plot(*zip(*minima, strict=True), color=ACCENT, ls="--", marker="D", ms=6, lw=1.3, zorder=4)
    losses = [loss for _, loss in minima]
    axes.set(xlim=sizes, ylim=(min(losses) - 0.08, max(losses) + 0.35))
    count_axis(axes.xaxis, "parameters N")
    axes.set_ylabel("loss L (nats per token)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _tokens(budget: Budget, n_params: float) -> str:
    return short_count(float(budget.tokens(n_params, DENSE)))


def _note(axes: Axes, n: float, loss: float, words: str, colour: str = MUTED) -> None:
    """Words below a point."""
    axes.annotate(
        words, (n, loss), (0, -9), textcoords="offset points", ha="center", va="top", fontsize=LARGE - 1, color=colour
    )
