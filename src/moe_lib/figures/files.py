"""A figure as files: SVG, PDF, and the numbers that it draws as CSV."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import Collection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.spines import Spine
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedFormatter

from moe_lib.files import whole_file

METADATA = "figure_files"  # of an output that shows a figure
UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}  # equal figures, equal files


def drawn_data(figure: Figure) -> pd.DataFrame:
    """What a figure draws, one row per point: panel, kind, series, colour, quantities and values on both axes.

    Values are in the units of the axes: a sparsity axis, which draws -log(1 - S), gives S. `part` numbers the pieces of
    one series, such as bands and contours; `value` is what a colour encodes.
    """
    rows = [
        {"panel": number, "title": axes.get_title("left") or axes.get_title(), **row, "y_axis": axes.get_ylabel()}
        for number, axes in enumerate(_panels(figure), 1)
        for row in _rows(axes)
    ]
    columns = ["panel", "title", "kind", "series", "part", "colour", "x_axis", "x", "y_axis", "y", "value"]
    return pd.DataFrame(rows, columns=columns)


def notebook_files(figure: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    """PDF (base64) and data of a figure as metadata of a notebook's output; the output itself is not changed."""
    return {}, {METADATA: {"pdf": base64.b64encode(_saved(figure, "pdf")).decode(), "csv": _csv(figure)}}


def write_files(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.svg, NAME.pdf and NAME.csv to a folder, and return their paths."""
    contents = {"svg": _saved(figure, "svg"), "pdf": _saved(figure, "pdf"), "csv": _csv(figure).encode()}
    paths = []
    for suffix, content in contents.items():
        paths.append(folder / f"{name}.{suffix}")
        with whole_file(paths[-1]) as temporary:
            temporary.write_bytes(content)
    return paths


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=UNDATED[kind])
    return buffer.getvalue()


def _csv(figure: Figure) -> str:
    return str(drawn_data(figure).to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def _panels(figure: Figure) -> list[Axes]:
    """The axes of a figure without its colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def _rows(axes: Axes) -> Iterator[dict[str, Any]]:
    """The points of every artist of a panel whose place is in data coordinates."""
    barred: list[Any] = [one for one in axes.containers if isinstance(one, BarContainer)]
    patches = {patch for container in barred for patch in container.patches} | {axes.patch}
    for artist in [*barred, *(one for one in axes.get_children() if one not in patches and one.get_visible())]:
        label = str(artist.get_label())
        for part, (kind, points, values, colour) in enumerate(_parts(artist, axes), 1):
            x, y = (_in_units(axis, points[:, i]) for i, axis in enumerate((axes.xaxis, axes.yaxis)))
            known = {"kind": kind, "series": "" if label.startswith("_") else label, "part": part, "colour": colour}
            for one, other, value in zip(x, y, values, strict=True):
                yield known | {"x_axis": axes.get_xlabel(), "x": one, "y": other, "value": value}


Part = tuple[str, np.ndarray, list[Any], str]


def _parts(artist: Any, axes: Axes) -> Iterator[Part]:
    """An artist's pieces: kind, points (n, 2), n values, colour; none if its place is not in data coordinates."""
    if isinstance(artist, BarContainer):
        lengths: Any = artist.datavalues
        for bar, value in zip(artist.patches, list(lengths), strict=True):
            across = artist.orientation == "horizontal"
            end = (value, bar.get_y() + bar.get_height() / 2) if across else (bar.get_x() + bar.get_width() / 2, value)
            yield "bar", *_plain([end]), to_hex(bar.get_facecolor())
    elif isinstance(artist, PathCollection):
        if artist.get_offset_transform() == axes.transData:
            points, encoded = np.asarray(artist.get_offsets(), dtype=float), artist.get_array()
            values = [""] * len(points) if encoded is None else list(encoded)
            yield "points", points, values, "" if encoded is not None else _colour(artist)
    elif isinstance(artist, AxesImage):
        grid: np.ndarray = np.ma.filled(np.ma.asarray(artist.get_array()), np.nan)
        row, column = np.indices(grid.shape)
        yield "cells", np.column_stack([column.ravel(), row.ravel()]), list(grid.ravel()), ""
    elif artist.get_transform() != axes.transData or isinstance(artist, Annotation | Spine):
        return
    elif isinstance(artist, Line2D):
        points = np.column_stack([np.asarray(one, dtype=float) for one in artist.get_data(orig=False)])
        kind = "line" if artist.get_linestyle() != "None" else "points"
        yield kind, *_plain(points), to_hex(artist.get_color())
    elif isinstance(artist, ContourSet):
        for level, path in zip(artist.levels, artist.get_paths(), strict=False):
            points = np.asarray(path.vertices)
            yield "contour", points, [level] * len(points), ""
    elif isinstance(artist, Collection):
        kind = "band" if len(artist.get_facecolor()) else "segment"
        for path in artist.get_paths():
            yield kind, *_plain(path.vertices), _colour(artist)
    elif isinstance(artist, Text):
        yield "text", np.array([artist.get_position()], dtype=float), [artist.get_text()], to_hex(artist.get_color())
    elif isinstance(artist, Patch):
        corners: Any = artist.get_path().transformed(artist.get_patch_transform()).vertices
        centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
        yield "tile", *_plain([centre]), to_hex(artist.get_facecolor())


def _plain(points: Any) -> tuple[np.ndarray, list[str]]:
    return np.asarray(points, dtype=float).reshape(-1, 2), [""] * len(points)


def _colour(artist: Collection) -> str:
    colours = [*artist.get_facecolor(), *artist.get_edgecolor()]
    return to_hex(colours[0]) if len(colours) else ""


def _in_units(axis: Axis, values: np.ndarray) -> list[Any]:
    """Values as the axis labels them: sparsities on a sparsity axis, names on an axis of names."""
    if getattr(axis, "of_sparsity", False):
        return list(-np.expm1(-values))
    form = axis.get_major_formatter()
    if not isinstance(form, FixedFormatter | StrCategoryFormatter):
        return list(values)
    places = axis.get_majorticklocs()
    names = dict(zip(map(float, places), form.format_ticks(list(places)), strict=True))
    return [names.get(value, value) for value in map(float, values)]
