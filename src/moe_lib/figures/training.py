"""Figures of training and of routing."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from moe_lib.figures.style import (
    INK,
    MUTED,
    log_inverse_density,
    new_figure,
    sparsity_axis,
    sparsity_color,
    sparsity_label,
)

EXPERT_COLOURS = colormaps["tab20"]


def loss_curves(curves: Mapping[float, Mapping[str, Sequence[float]]], guessing: float) -> Figure:
    """Training loss against step, one curve per sparsity; `guessing` is the loss of a uniform guess (nats).

    Each curve has `step` (last step of a bin) and `loss` (its mean), as in a ledger row.
    """
    figure, axes = new_figure("full", height=3.4)
    axes.axhline(guessing, color=MUTED, lw=0.9, ls=(0, (4, 3)))
    axes.annotate("guessing", (1, guessing), xytext=(0, 3), xycoords=("axes fraction", "data"), ha="right",
                  textcoords="offset points", color=MUTED, fontsize=9)  # fmt: skip
    for sparsity, curve in curves.items():
        axes.plot(curve["step"], curve["loss"], color=sparsity_color(sparsity), label=sparsity_label(sparsity))
    axes.set(xscale="log", xlabel="step", ylabel="training loss (nats per token)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="lower left")
    return figure


def expert_loads(share_LE: npt.NDArray[np.float64]) -> Figure:
    """Share of the assignments that each expert gets, times the number of experts, layer by layer; 1 is an even load.

    `share_LE` [layers, experts], each row summing to one.
    """
    n_layers, n_experts = share_LE.shape
    figure, axes = new_figure("full", height=0.8 + 0.62 * n_layers)
    load = share_LE * n_experts
    image = axes.imshow(load, cmap="RdBu_r", norm=LogNorm(1 / 3, 3), aspect="auto")
    for layer, expert in np.ndindex(n_layers, n_experts):
        dark = not 0.5 < load[layer, expert] < 2
        axes.text(expert, layer, f"{load[layer, expert]:.2f}", ha="center", va="center", fontsize=9,
                  color="white" if dark else INK)  # fmt: skip
    axes.set(xlabel="expert", xticks=range(n_experts), yticks=range(n_layers))
    axes.set_yticklabels([f"layer {layer + 1}" for layer in range(n_layers)])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.ax.yaxis.set_major_locator(FixedLocator([1 / 3, 1, 3]))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.set_yticklabels(["a third", "even", "3 times"])
    bar.outline.set_visible(False)
    return figure


def tokens_by_expert(tokens: Sequence[str], experts: Sequence[int], width: int = 66) -> Figure:
    """A passage; the colour behind a token is that of its expert. `width` is in characters per line."""
    spans, line, column = [], 0, 0
    for token in tokens:
        if column + len(token) > width:
            line, column = line + 1, 0
        spans.append((line, column, len(token)))
        column += len(token)
    figure, axes = new_figure("full", height=0.35 + 0.27 * (line + 1))
    for token, expert, (row, start, length) in zip(tokens, experts, spans, strict=True):
        colour = EXPERT_COLOURS((2 * expert + expert // 10) % 20)
        axes.add_patch(Rectangle((start, row), length - 0.12, 0.86, color=colour, alpha=0.45, lw=0))
        axes.text(start + length / 2, row + 0.45, token, ha="center", va="center", family="monospace", fontsize=8)
    axes.set(xlim=(0, width), ylim=(line + 1, 0))
    axes.axis("off")
    return figure


def active_share(table: pd.DataFrame) -> Figure:
    """N_a / N against sparsity, one curve per width, beside 1 - S; columns `sparsity`, `d_model`, `share`."""
    figure, axes = new_figure("full", height=3.6)
    sparsity = np.linspace(0, 0.985, 200)
    axes.plot(log_inverse_density(sparsity), 1 - sparsity, color=MUTED, ls=(0, (4, 3)), label="$1 - S$")
    shades = np.linspace(0.85, 0.25, table["d_model"].nunique())
    for (width, rows), shade in zip(table.groupby("d_model"), shades, strict=True):
        colour = colormaps["viridis"](shade)
        axes.plot(
            log_inverse_density(rows["sparsity"]), rows["share"], "o-", color=colour, label=f"$d_{{model}}$ = {width:,}"
        )
    sparsity_axis(axes.xaxis, (0, 0.5, 0.75, 0.9, 0.95, 0.98))
    axes.set(yscale="log", ylabel="active share of parameters, $N_a / N$")
    axes.yaxis.set_major_locator(FixedLocator([0.02, 0.05, 0.1, 0.2, 0.5, 1]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.legend(loc="lower left")
    return figure
