"""Figures of plans: the loss of each sparsity, the band within 0.01 nats of the best, and several laws compared."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from moe_lib.figures.style import (
    ACCENT,
    INK,
    MUTED,
    log_inverse_density,
    new_figure,
    ordered_colours,
    short_count,
    sparsity_axis,
)
from moe_lib.laws.optimum import INDIFFERENCE
from moe_lib.planner import Question

SPARSEST = 0.99  # right end of the axis
BAND = "#f6dfe9"


def valley(question: Question, height: float = 0.25) -> Figure:
    """Loss of the best size at each sparsity, with the optimum and the band within 0.01 nats.

    Beyond the sparsest model allowed (the end of the law's data, unless more was asked for) the curve is dotted.
    `height` is the range of loss shown above the optimum, in nats.
    """
    figure, axes = new_figure("half", height=3.5)
    n, s = question.solve()
    best, band = float(question.loss(n, s)), question.band(n, s)["sparsity"]
    axes.axvspan(*log_inverse_density(np.array(band)), color=BAND, lw=0, zorder=0)
    _curve(axes, question, INK)
    axes.plot(log_inverse_density(s), best, "o", color=ACCENT, ms=7, zorder=4)
    where = " (end of the data)" if _at_end(question, s) else ""
    axes.set_title(
        f"S = {s:.3g}{where}, N = {short_count(n)}\nwithin {INDIFFERENCE} nats: S = {band[0]:.3g} to {band[1]:.3g}",
        fontsize=10.5,
        loc="left",
    )
    axes.set(xlim=(0, log_inverse_density(SPARSEST)), ylim=(best - 0.08 * height, best + height))
    sparsity_axis(axes.xaxis)
    axes.set_ylabel("loss of the best size, nats per token")
    return figure


def valleys(questions: Mapping[str, Question], height: float = 0.1) -> Figure:
    """The same for several laws: loss above each law's own optimum, since losses of different texts do not compare.

    A thick stretch is a law's band within 0.01 nats, a dot its optimum, hollow at the end of its data.
    """
    figure, axes = new_figure("half", height=3.6)
    axes.axhline(INDIFFERENCE, color=MUTED, lw=0.9, ls="--", zorder=1)
    for (name, question), colour in zip(questions.items(), ordered_colours(len(questions)), strict=True):
        n, s = question.solve()
        best = float(question.loss(n, s))
        _curve(axes, question, colour, best, name)
        low, high = question.band(n, s)["sparsity"]
        hidden = np.linspace(log_inverse_density(low), log_inverse_density(high), 60)
        axes.plot(hidden, question.loss_at_sparsity(hidden) - best, color=colour, lw=5, alpha=0.35)
        fill = "white" if _at_end(question, s) else colour
        axes.plot(log_inverse_density(s), 0, "o", color=colour, mfc=fill, ms=7, zorder=4)
    axes.set(xlim=(0, log_inverse_density(SPARSEST)), ylim=(-0.06 * height, height))
    sparsity_axis(axes.xaxis)
    axes.set_ylabel("nats above the law's optimum")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _at_end(question: Question, sparsity: float) -> bool:
    return question.sparse and sparsity >= question.max_sparsity * (1 - 1e-9)


def _curve(axes: Axes, question: Question, colour: str, less: float = 0.0, label: str | None = None) -> None:
    """Loss of the best size along sparsity, dotted beyond the question's bounds."""
    last = log_inverse_density(SPARSEST)
    inside, outside = np.linspace(0, min(question.end, last), 200), np.linspace(question.end, last, 60)
    axes.plot(inside, question.loss_at_sparsity(inside) - less, color=colour, label=label)
    if question.sparse and question.end < last:
        further = replace(question, max_sparsity=SPARSEST)
        axes.plot(outside, further.loss_at_sparsity(outside) - less, color=colour, ls=":", lw=1.4)


def along_memory(table: pd.DataFrame, gigabytes: float) -> Figure:
    """Left, the best sparsity with its band against memory; right, what a tenth more of each resource gains.

    `table` has columns bytes, S, low, high, and flops, max_bytes and max_sparsity (nats gained by relaxing each by a
    tenth). `gigabytes` is marked by a line in both panels.
    """
    figure, (left, right) = new_figure("full", height=3.9, columns=2)
    memory = table["bytes"] / 1e9
    left.fill_between(memory, log_inverse_density(table["low"]), log_inverse_density(table["high"]), color=BAND, lw=0)
    left.plot(memory, log_inverse_density(table["S"]), color=ACCENT)
    sparsity_axis(left.yaxis)
    left.set_title("a. best sparsity")
    left.set_ylim(0, log_inverse_density(0.985))
    resources = {"flops": "FLOPs", "max_bytes": "memory", "max_sparsity": "sparsity (a tenth less of 1 - S)"}
    for (name, label), style in zip(resources.items(), ((INK, "-"), (ACCENT, "-"), (MUTED, "--")), strict=True):
        right.plot(memory, 1000 * table[name], color=style[0], ls=style[1], label=label)
    right.set_title("b. worth of a tenth more")
    right.set_ylabel("thousandths of a nat per token")
    right.set_ylim(0, None)
    for axes in (left, right):
        axes.axvline(gigabytes, color=MUTED, lw=0.9, ls=":", zorder=0)
        axes.set(xscale="log", xlim=(memory.min(), memory.max()), xlabel="memory for training (GB)")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def memory_bars(table: pd.DataFrame, device: float) -> Figure:
    """Bytes for training per sparsity, counted from all parameters (bar) and from the active ones (mark).

    `table` has columns S, total and active, in bytes; `device` is the memory of one device.
    """
    figure, axes = new_figure("half", height=3.5)
    axes.barh(table.index, table["total"] / device, color="#e8c9d8", height=0.62, label="from all parameters")
    axes.plot(table["active"] / device, table.index, "o", color=INK, ms=7, label="from active parameters (wrong)")
    axes.axvline(1, color=MUTED, ls="--", lw=1)
    axes.set_yticks(table.index, [f"{s:g}" for s in table["S"]])
    axes.set(xscale="log", ylabel="sparsity S", xlabel=f"devices of {device / 1e9:g} GB")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def answers(table: pd.DataFrame) -> Figure:
    """The best sparsity for several demands, each with its band; hollow at the end of a law's data.

    `table` has columns demand, S, low, high and edge, first row on top.
    """
    figure, axes = new_figure("full", height=0.42 * len(table) + 0.9)
    rows = -np.arange(len(table))
    hidden, low, high = (log_inverse_density(table[name].to_numpy(float)) for name in ("S", "low", "high"))
    axes.hlines(rows, low, high, color=BAND, lw=9)
    for row, at, edge in zip(rows, hidden, table["edge"], strict=True):
        axes.plot(at, row, "o", color=ACCENT, mfc="white" if edge else ACCENT, ms=8)
    axes.set_yticks(rows, list(table["demand"]))
    axes.set(xlim=(-0.05, log_inverse_density(SPARSEST)), ylim=(rows[-1] - 0.6, 0.6))
    axes.grid(axis="y", visible=False)
    sparsity_axis(axes.xaxis)
    axes.set_xlabel("best sparsity S*, and what costs less than 0.01 nats")
    return figure
