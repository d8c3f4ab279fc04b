"""Figures of counts that follow from a model's shape: parameters against FLOPs, and those of Appendix C."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from moe_lib.figures.style import (
    INK,
    LARGE,
    MUTED,
    count_axis,
    enlarge,
    flops_axis,
    new_figure,
    sparsity_color,
    sparsity_label,
)

PANELS = {
    "two-embeddings": r"a. $N_a$ with both embedding matrices",
    "one-embedding": r"b. $N_a$ with one of them",
    "no-embedding": r"c. $N_a$ without embeddings",
    "ideal": r"d. $N_a = (1 - S)\,N$",
}

PARTS = {
    "experts": ("experts", "#6a4c93"),
    "attention_projections": ("attention: projections", "#3f78a8"),
    "attention_scores": ("attention: scores, values", "#9cc4de"),
    "unembedding": ("unembedding", "#d5d9e0"),
    "router": ("router", "#e4572e"),
}


def leaving_the_line(table: pd.DataFrame) -> Figure:
    """Dense models on a line in the plane of N and FLOPs per token, and the models made from some of them.

    `table` has the columns `d_model`, `sparsity`, `repeats` (passes through the layers), `n_params` and `flops` (per
    token, router included). The dense models of all widths make the line; each sparse or repeated model is joined to
    the dense one of its width.
    """
    figure, axes = new_figure("full", height=5)
    dense = table[(table["sparsity"] == 0) & (table["repeats"] == 1)].sort_values("flops")
    axes.plot(dense["flops"], dense["n_params"], color=INK, lw=2.4, zorder=2)
    looped, sparse = table[table["repeats"] > 1], table[table["sparsity"] > 0]
    for left in (looped, sparse):
        for width, own in left.groupby("d_model"):
            chain = pd.concat([dense[dense["d_model"] == width], own])
            axes.plot(chain["flops"], chain["n_params"], color=MUTED, lw=1, zorder=1)
    axes.plot(looped["flops"], looped["n_params"], "s", color=INK, mfc="white", ms=6.5, zorder=3)
    for group, rows in table[table["d_model"].isin(sparse["d_model"]) & (table["repeats"] == 1)].groupby("sparsity"):
        sparsity = float(str(group))
        axes.plot(
            *(rows["flops"], rows["n_params"]),
            **{"marker": "o", "ls": "none", "ms": 7.5, "mec": "white", "zorder": 4},
            color=sparsity_color(sparsity),
            label=sparsity_label(sparsity),
        )
    end, top, side = dense.iloc[-1], sparse.sort_values("n_params").iloc[-1], looped.sort_values("flops").iloc[0]
    words = {"textcoords": "offset points", "va": "center", "fontsize": LARGE - 0.5}
    axes.annotate("dense: one line", (end["flops"], end["n_params"]), (-14, 6), ha="right", color=INK, **words)
    axes.annotate(
        "experts:\nparameters\nwithout FLOPs", (top["flops"], top["n_params"]), (-12, -8), ha="right", **words
    )
    axes.annotate("shared layers: FLOPs without parameters", (side["flops"], side["n_params"]), (-14, -18), **words)
    flops_axis(axes.xaxis, "FLOPs per token, forward and backward")
    count_axis(axes.yaxis, "total parameters N")
    axes.set_ylim(top=2 * top["n_params"])
    enlarge(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=LARGE - 1)
    return figure


def estimator_ratio(table: pd.DataFrame, studied: tuple[float, float]) -> Figure:
    """Figure 7: Eq. 9 / (6 N_a) against N, one curve per sparsity, one panel per convention of N_a.

    `table` has the columns `sparsity`, `n_params` and one for each key of `PANELS`, which hold the ratio;
    `studied` is the range of N to shade.
    """
    figure, grid = new_figure("full", height=5.6, rows=2, columns=2, sharex=True, sharey=True)
    for axes, (convention, title) in zip(grid.flat, PANELS.items(), strict=True):
        axes.axvspan(*studied, color="#f3f4f7", zorder=0, lw=0)
        axes.axhspan(0.9, 1.1, color="#dfe9df", zorder=0.5, lw=0)
        axes.axhline(1, color=MUTED, lw=0.9, zorder=1)
        for sparsity, rows in table.sort_values("n_params").groupby("sparsity"):
            colour = sparsity_color(float(str(sparsity)))
            axes.plot(rows["n_params"], rows[convention], color=colour, label=sparsity_label(float(str(sparsity))))
        axes.set_title(title)
        axes.set(ylim=(0.6, 4), yscale="log")
        axes.yaxis.set_major_locator(FixedLocator([0.7, 1, 1.5, 2, 3]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    for axes in grid[1]:
        count_axis(axes.xaxis, "total parameters N")
        axes.set_xlim(table["n_params"].min(), 1e12)
    for axes in grid[:, 0]:
        axes.set_ylabel("Eq. 9 / 6 $N_a$")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def shares_by_part(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Share of the FLOPs per token by part against model width; one panel for each title in `tables`.

    Each table is indexed by `d_model`, with a column of shares (0 to 1) for each key of `PARTS`.
    """
    figure, row = new_figure("full", height=3.9, columns=len(tables), sharey=True)
    for axes, (title, table) in zip(row, tables.items(), strict=True):
        colours = [colour for _, colour in PARTS.values()]
        labels = [label for label, _ in PARTS.values()]
        axes.stackplot(table.index, [100 * table[part] for part in PARTS], colors=colours, labels=labels, lw=0)
        axes.set(title=title, xscale="log", xlim=(table.index.min(), table.index.max()), ylim=(0, 100))
        axes.set_xlabel("model width $d_{model}$")
        axes.xaxis.set_major_locator(FixedLocator([64, 128, 256, 512, 1024, 2048, 4096]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(False)
    row[0].set_ylabel("share of FLOPs (%)", color=INK)
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
