"""The figure of the landing page: dense models beside sparse ones at equal FLOPs."""

import numpy as np
from matplotlib.figure import Figure

from moe_lib.figures.style import ACCENT, INK, LARGE, MUTED, count_axis, enlarge, new_figure, short_count
from moe_lib.planner import Question


def two_valleys(question: Question) -> Figure:
    """Loss against total parameters at S = 0 and at the best sparsity within a bound on parameters, at one budget.

    A dot marks the best dense model and the best one within the bound; the arrow is the difference of their losses.
    """
    figure, axes = new_figure("full", height=3.9)
    n, s = question.solve()
    dense, bound = float(question.best_size(0.0)), question.max_params
    low, high = float(question.loss(n, s)), float(question.loss(dense, 0.0))
    gain, sizes = high - low, np.geomspace(dense / 8, bound * 5, 120)
    axes.set(xlim=(sizes[0], sizes[-1]), ylim=(low - 0.5 * gain, low + 2.6 * gain))
    axes.axvspan(bound, sizes[-1], color="#f3f4f7", lw=0, zorder=0)
    axes.axvline(bound, color=MUTED, lw=1, ls=":")
    for sparsity, colour, label, at, (x, side) in (
        (0.0, INK, "dense", sizes[0] * 2, (-6, "right")),
        (s, ACCENT, f"S = {s:.2f}", sizes[0] * 3, (8, "left")),
    ):
        axes.plot(sizes, question.loss(sizes, sparsity), color=colour, lw=2.6, label=label)
        words = {
            "fontsize": LARGE + 1,
            "fontweight": "bold",
            "color": colour,
            "ha": side,
            "textcoords": "offset points",
        }
        axes.annotate(label, (at, float(question.loss(at, sparsity))), (x, -10 if side == "right" else 4), **words)
    axes.plot([dense, n], [high, high], color=MUTED, lw=1, ls="--", zorder=1)
    axes.annotate("", (n, low), (n, high), arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.4, "shrinkA": 0})
    axes.text(n * 1.07, (2 * low + high) / 3, f"{gain:.2f} nats", fontsize=LARGE, va="center")
    axes.text(bound * 1.07, low + 2.5 * gain, f"more than {short_count(bound)}", color=MUTED, fontsize=LARGE, va="top")
    for size, loss, colour, label in ((dense, high, INK, "best dense"), (n, low, ACCENT, "best within the bound")):
        axes.plot(size, loss, "o", color=colour, ms=9, mec="white", zorder=4, label=label)
    count_axis(axes.xaxis, "total parameters N")
    axes.set_ylabel("loss (nats per token)")
    enlarge(axes)
    return figure
