"""Figures of how small models learn: their two transitions, and the composition of their residual stream."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from moe_lib.figures.style import ACCENT, MUTED, new_figure, sparsity_label
from moe_lib.ledger import Row

RECIPE_COLOURS = {"landed": MUTED, "paper": "#2a6fbb", "modern": ACCENT}


def transitions(rows: Mapping[str, Sequence[Row]]) -> Figure:
    """Loss, copying and attention to the previous token over training; one curve per recipe, one column per sparsity.

    `rows` maps `landed`, `paper` and `modern` to ledger rows with `dynamics`, one for each sparsity. Points mark the
    steps at which the two transitions happened.
    """
    sparsities = sorted({row["sparsity"] for runs in rows.values() for row in runs})
    figure, grid = new_figure("full", height=5.6, rows=3, columns=len(sparsities), sharex="col", sharey="row",
                              squeeze=False)  # fmt: skip
    for column, sparsity in enumerate(sparsities):
        loss, copying, head = grid[:, column]
        loss.set_title(sparsity_label(sparsity))
        for name, runs in rows.items():
            for row in (row for row in runs if row["sparsity"] == sparsity):
                seen, colour = row["dynamics"], RECIPE_COLOURS[name]
                steps = np.maximum(seen["step"], 1)
                gain = np.subtract(seen["copy_first"], seen["copy_second"])
                loss.plot(row["curve"]["step"], row["curve"]["loss"], color=colour, label=name)
                copying.plot(steps, gain, color=colour)
                head.plot(steps, np.max(seen["previous_token"], axis=1), color=colour)
                _mark(loss, seen["bigram_step"], row["curve"]["step"], row["curve"]["loss"], colour)
                _mark(copying, seen["copy_step"], seen["step"], gain, colour)
        for level, text in ((seen["unigram_loss"], "unigram"), (seen["bigram_loss"], "bigram")):
            loss.axhline(level, color=MUTED, lw=0.9, ls=(0, (4, 3)))
            loss.annotate(text, (0, level), xytext=(3, 2), xycoords=("axes fraction", "data"),
                          textcoords="offset points", color=MUTED, fontsize=9)  # fmt: skip
        head.set(xscale="log", xlabel="step", xlim=(10, None))
        head.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    low, high = grid[1, 0].get_ylim()
    grid[1, 0].set_ylim(min(low, -0.1), max(high, 0.6))  # noise is not drawn as if it were an effect
    grid[0, 0].set_ylabel("training loss\n(nats per token)")
    grid[1, 0].set_ylabel("gained by copying\n(nats per token)")
    grid[2, 0].set_ylabel("weight on the\nprevious token")
    grid[0, -1].legend(loc="upper right")
    return figure


def _mark(axes: Axes, step: int | None, steps: Sequence[float], values: Sequence[float], colour: str) -> None:
    """A point on a curve at a step, if there is one."""
    if step is not None:
        axes.plot(step, np.interp(step, steps, values), "o", color=colour, mec="white", ms=7, zorder=3)


def residual_stream(row: Row) -> Figure:
    """The residual stream behind each layer of one run.

    Panels show the share along the token's own embedding, and the size of what attention and experts add, relative to
    the stream they add it to.

    `row` is a ledger row with `dynamics`.
    """
    seen = row["dynamics"]
    steps = np.maximum(seen["step"], 1)
    titles = {"token_share": "the token's share", "attention_rms": "attention adds", "experts_rms": "experts add"}
    figure, panels = new_figure("full", height=2.9, columns=3)
    shades = np.linspace(0.35, 1.0, len(seen["token_share"][0]))
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for layer, shade in enumerate(shades):
            axes.plot(steps, np.array(seen[name])[:, layer], color=ACCENT, alpha=shade, label=f"layer {layer + 1}")
        axes.set(title=title, xscale="log", xlabel="step", xlim=(1, None))
        if name == "token_share":
            axes.set_ylim(0, 1)
        else:
            axes.set_yscale("log")
    panels[0].legend(loc="upper right")
    return figure


def previous_token_heads(rows: Mapping[str, Sequence[Row]]) -> Figure:
    """Weight on the previous token over training, by layer; a row of panels for each name, a panel for each run.

    Ledger rows have `dynamics`. A dashed line marks the step at which a run began to copy.
    """
    columns = max(map(len, rows.values()))
    figure, panels = new_figure("full", height=0.9 + 1.9 * len(rows), rows=len(rows), columns=columns, sharex=True,
                                sharey=True, squeeze=False)  # fmt: skip
    for line, (name, runs) in zip(panels, rows.items(), strict=True):
        line[0].set_ylabel(f"{name}\nweight")
        for axes, row in zip(line, runs, strict=False):
            _heads(axes, row)
            axes.set_title(f"{sparsity_label(row['sparsity'])}, seed {row['config']['training']['seed']}")
    for axes in panels[-1]:
        axes.set(xscale="log", xlabel="step", xlim=(10, None))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panels[0, 0].legend(loc="upper left")
    return figure


def _heads(axes: Axes, row: Row) -> None:
    """The curves of one run's layers."""
    seen = row["dynamics"]
    weights = np.array(seen["previous_token"])
    for layer, shade in enumerate(np.linspace(0.35, 1.0, weights.shape[1])):
        axes.plot(np.maximum(seen["step"], 1), weights[:, layer], color=ACCENT, alpha=shade, label=f"layer {layer + 1}")
    if seen["copy_step"] is not None:
        axes.axvline(seen["copy_step"], color=MUTED, lw=0.9, ls=(0, (4, 3)))
        axes.annotate("copies", (seen["copy_step"], 1), xytext=(-3, -3), xycoords=("data", "axes fraction"),
                      ha="right", va="top", textcoords="offset points", color=MUTED, fontsize=9)  # fmt: skip
