"""The strip of verdicts: every claim as a tile."""

from collections.abc import Mapping, Sequence

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from moe_lib.figures.style import INK, new_figure

COLUMNS = 15
COLOURS = {  # distinct in grey too, from light to dark
    "not testable here": "#e6e9ee",
    "partial": "#f2c14e",
    "reproduced": "#3aa17e",
    "inconsistent": "#8460b8",
    "contradicted": "#a3323f",
}


def strip(verdicts: Mapping[str, str], order: Sequence[str]) -> Figure:
    """A tile per claim (id to verdict), row by row in the order of the ids, and how many claims have each verdict."""
    rows = -(-len(verdicts) // COLUMNS)
    figure, axes = new_figure(height=0.44 * rows + 1.0)
    for place, (name, verdict) in enumerate(verdicts.items()):
        x, y = place % COLUMNS, -(place // COLUMNS)
        corners = [x, x + 0.94, x + 0.94, x], [y, y, y + 0.9, y + 0.9]
        axes.fill(*corners, color=COLOURS[verdict], lw=0, label=f"{name}: {verdict}")
        axes.text(x + 0.47, y + 0.43, name.lstrip("C"), ha="center", va="center", fontsize=9.5, color=_ink(verdict))
    axes.set_xlim(0, COLUMNS)
    axes.set_ylim(1 - rows - 0.05, 1)
    axes.set_axis_off()
    found = list(verdicts.values())
    handles = [Patch(facecolor=COLOURS[one], label=f"{found.count(one)} {one}") for one in order]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1.0, columnspacing=1.2)
    return figure


def _ink(verdict: str) -> str:
    """Dark on a light tile, white on a dark one."""
    red, green, blue = to_rgb(COLOURS[verdict])
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
