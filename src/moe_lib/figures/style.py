"""The shared style of all figures: sizes, type, and the same colour for a sparsity everywhere.

A chapter calls `use_style()` once. A figure function starts with `new_figure(...)`, which avoids pyplot's global list
of figures, and returns its figure.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib.style
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from moe_lib.errors import InputError
from moe_lib.figures.files import UNDATED, notebook_files
from moe_lib.paper import SPARSITIES

SPARSITY_MARKS = (0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)  # labels of a sparsity axis

INK = "#1f2733"  # text and the main curve
MUTED = "#7a8594"  # reference lines, notes beside the data
ACCENT = "#b8326a"  # the main point

LOSS_LABEL = "held-out loss L (nats per token)"

LARGE = 12.5  # points; for a full figure that has to stay legible on a phone

# Inches. A full figure is as wide as the text on the page, and stays legible at half that width on a phone.
WIDTHS = {"full": 6.6, "half": 3.9}
HEIGHTS = {"full": 3.8, "half": 3.2}

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.9,
    "lines.markersize": 5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # the same letters on every machine
    "svg.hashsalt": "moe-lib",  # the same file for the same figure
}

_COLOURS = colormaps["plasma"]
_ORDERED = colormaps["viridis"]


def use_style() -> None:
    """Set matplotlib's defaults to the book's; a notebook shows figures as SVG and keeps their PDF and their data."""
    matplotlib.style.use(STYLE)
    if "ipykernel" in sys.modules:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats(  # type: ignore[no-untyped-call]
            "svg", bbox_inches=None, metadata=UNDATED["svg"]
        )
        formatters = get_ipython().display_formatter
        formatters.mimebundle_formatter.for_type(Figure, notebook_files)


def new_figure(
    width: Literal["full", "half"] = "full",
    height: float | None = None,
    rows: int = 1,
    columns: int = 1,
    **subplots: Any,
) -> tuple[Figure, Any]:
    """An empty figure of a standard width with its axes; `height` in inches, `subplots` as `Figure.subplots`."""
    figure = Figure(figsize=(WIDTHS[width], height or HEIGHTS[width]), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


def enlarge(axes: Axes) -> None:
    """Set title, labels and ticks of a panel, once they are there, to the large size."""
    for words in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label):  # type: ignore[attr-defined]
        words.set_fontsize(LARGE)
    axes.tick_params(labelsize=LARGE)


def sparsity_color(sparsity: float) -> str:
    """The colour of a sparsity: dense is darkest, the sparsest brightest.

    The map is perceptually uniform, so the order survives grey scale and colour blindness. The square root of
    -log(1 - S) spaces the paper's seven levels about evenly; S above .98 has the colour of .98.
    """
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity = {sparsity} has to be in [0, 1)")
    position = math.sqrt(math.log(1 - sparsity) / math.log(1 - SPARSITIES[-1]))
    return to_hex(_COLOURS(0.87 * min(1.0, position)))


def sparsity_label(sparsity: float) -> str:
    """A sparsity's label in a legend."""
    return "dense, S = 0" if sparsity == 0 else f"S = {sparsity:.4g}"


def ordered_colours(number: int) -> list[str]:
    """Colours for a few ordered values, such as batches or budgets, from light to dark."""
    return [to_hex(_ORDERED(shade)) for shade in np.linspace(0.8, 0.1, number)]


def budget_label(flops: float) -> str:
    """A budget's label in a legend: C = 1e13."""
    return f"C = {flops:.0e}".replace("e+", "e")


def count_axis(axis: Axis, label: str) -> None:
    """A logarithmic axis of parameters or tokens, labelled 1M, 10M, 1B."""
    _log_scale(axis)
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axis.set_label_text(label)


def flops_axis(axis: Axis, label: str = "training budget C (FLOPs)") -> None:
    """A logarithmic axis of FLOPs, labelled in powers of ten."""
    _log_scale(axis)
    axis.set_major_formatter(LogFormatterMathtext())
    axis.set_label_text(label)


def log_inverse_density(sparsity: Any) -> Any:
    """-log(1 - S), the scale of a `sparsity_axis`."""
    return -np.log1p(-sparsity)


def sparsity_axis(axis: Axis, marks: Sequence[float] = SPARSITY_MARKS) -> None:
    """An axis whose data are -log(1 - S), labelled with S."""
    axis.set_major_locator(FixedLocator([log_inverse_density(mark) for mark in marks]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(np.expm1(-value)):.3g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_label_text("sparsity S")
    axis.of_sparsity = True  # type: ignore[attr-defined]  # for who reads the drawn numbers


def short_count(value: float) -> str:
    """A count in short form: 1.5K, 60M, 15B, 1.2T."""
    if not math.isfinite(value) or value < 0:
        raise InputError(f"count = {value} has to be finite and not negative")
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def _log_scale(axis: Axis) -> None:
    axes: Axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 20 * low else (1.0,)  # otherwise a short axis would have one label or none
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=8))
    axis.set_minor_formatter(NullFormatter())
