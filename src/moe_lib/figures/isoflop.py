"""Figures of isoFLOP fits: a surface over its runs, and the bias of parabolas around a known optimum."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
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
    sparsity_axis,
    sparsity_color,
    sparsity_label,
)
from moe_lib.laws.isoflop import Surface

LOSSES = ListedColormap(colormaps["Blues_r"](np.linspace(0, 0.75, 256)))  # the palest blues vanish on white
SIZE_LABELS = {"N": "total parameters N", "Na": "active parameters $N_a$"}


def fitted_surface(fitted: Surface, runs: pd.DataFrame) -> Figure:
    """Contours of a fitted surface over its runs (filled by observed loss), with the best size at each sparsity.

    The line breaks off if the best size is outside the grid of sizes. `runs` has columns N or Na, S and L.
    """
    figure, axes = new_figure("full", height=4.2)
    n = np.exp(np.linspace(*fitted.n_range, 100))
    s = np.linspace(*fitted.s_range, 80)
    loss = fitted.loss(n, -np.expm1(-s)[:, None])
    low, high = runs["L"].min(), min(runs["L"].max(), runs["L"].min() + 1.0)
    drawn = axes.contour(n, s, loss, levels=np.linspace(low, high, 14), cmap=LOSSES, linewidths=1)
    axes.clabel(drawn, drawn.levels[::3], fmt="%.2f", fontsize=8)
    dots = axes.scatter(
        runs[fitted.size],
        log_inverse_density(runs["S"]),
        c=runs["L"],
        cmap=LOSSES,
        vmin=low,
        vmax=high,
        edgecolors=INK,
        lw=0.5,
        clip_on=False,
        zorder=4,
    )
    best = fitted.best_size(-np.expm1(-s))
    inside = best["place"] == "inside"
    axes.plot(best[fitted.size].where(inside), s, color=ACCENT, lw=2.2, label="best size at each S")
    outside = None if inside.all() else "outside the grid"
    axes.plot(best[fitted.size].where(~inside), s, color=ACCENT, lw=1.2, ls=":", label=outside)
    count_axis(axes.xaxis, SIZE_LABELS[fitted.size])
    sparsity_axis(axes.yaxis)
    axes.set_xlim(n[0] / 1.3, n[-1] * 1.3)
    axes.grid(False)
    figure.colorbar(dots, ax=axes, label=LOSS_LABEL)
    axes.legend(loc="upper left")
    return figure


def vertex_bias(curves: Mapping[tuple[float, float], pd.DataFrame]) -> Figure:
    """Bias of noise-free parabolas against the centre of their grid, by sparsity and width of the grid.

    Tables have columns offset (middle of the grid over the true optimum) and bias (vertex over true optimum).
    """
    figure, axes = new_figure("full", height=3.4)
    axes.axhline(1, color=MUTED, lw=0.9)
    narrowest = min(width for _, width in curves)
    for (sparsity, width), curve in curves.items():
        style = "-" if width == narrowest else (0, (4, 2))
        label = f"{sparsity_label(sparsity)}, grid of a factor {width:g}"
        axes.plot(curve["offset"], curve["bias"], color=sparsity_color(sparsity), ls=style, label=label)
    axes.set(
        xscale="log", ylim=(0.8, 1.25), xlabel="middle of the grid / true N*", ylabel="vertex of the parabola / true N*"
    )
    axes.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend()
    return figure
