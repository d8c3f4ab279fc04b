"""A figure's files hold what the figure draws, in the units of its axes, and are equal for equal figures."""

import base64
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.figures.claims import strip
from moe_lib.figures.files import METADATA, drawn_data, notebook_files, write_files
from moe_lib.figures.style import STYLE, log_inverse_density, new_figure, sparsity_axis


def curves() -> Figure:
    figure, (left, right) = new_figure(columns=2)
    left.plot([1, 2, 3], [4.0, 5.0, 6.0], color="#123456", label="valley")
    left.axhline(4.5)
    left.set(xlabel="size", ylabel="loss", title="a.")
    right.scatter(log_inverse_density(np.array([0.5, 0.98])), [1, 2], label="optima")
    sparsity_axis(right.xaxis)
    return figure


def test_data_of_a_curve_are_its_points_with_panel_series_and_axes() -> None:
    line = drawn_data(curves()).query("kind == 'line'")
    assert line[["x", "y"]].to_numpy().tolist() == [[1, 4], [2, 5], [3, 6]]
    first = line.iloc[0]
    assert (first["panel"], first["title"], first["series"], first["colour"]) == (1, "a.", "valley", "#123456")
    assert (first["x_axis"], first["y_axis"]) == ("size", "loss")


def test_a_sparsity_axis_gives_sparsities() -> None:
    optima = drawn_data(curves()).query("series == 'optima'")
    np.testing.assert_allclose(optima["x"], [0.5, 0.98])


def test_bars_have_names_and_their_own_lengths_when_stacked() -> None:
    figure, axes = new_figure()
    axes.barh(["code", "prose"], [3.0, 4.0], label="first")
    axes.barh(["code", "prose"], [1.0, 2.0], left=[3.0, 4.0], label="second")
    bars = drawn_data(figure)
    assert bars[["series", "x", "y"]].to_numpy().tolist() == [
        ["first", 3.0, "code"],
        ["first", 4.0, "prose"],
        ["second", 1.0, "code"],
        ["second", 2.0, "prose"],
    ]


def test_an_image_gives_its_cells_and_a_contour_its_levels() -> None:
    figure, axes = new_figure()
    axes.imshow([[1.0, 2.0], [3.0, 4.0]])
    drawn = axes.contour([0, 1], [0, 1], [[0.0, 1.0], [1.0, 2.0]], levels=[0.5, 1.5])
    figure.colorbar(drawn)
    data = drawn_data(figure)
    assert set(data["panel"]) == {1}
    assert data.query("kind == 'cells'")["value"].tolist() == [1, 2, 3, 4]
    assert set(data.query("kind == 'contour'")["value"]) == {0.5, 1.5}


def test_every_claim_of_the_strip_has_its_verdict() -> None:
    tiles = drawn_data(strip({"C1": "partial", "C2": "contradicted"}, ("partial", "contradicted")))
    assert tiles.query("kind == 'tile'")["series"].tolist() == ["C1: partial", "C2: contradicted"]


def test_equal_figures_have_equal_files(tmp_path: Path) -> None:
    with matplotlib.style.context(STYLE):
        first, second = (write_files(curves(), tmp_path / name, "fig") for name in ("first", "second"))
    assert [path.name for path in first] == ["fig.svg", "fig.pdf", "fig.csv"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert pd.read_csv(first[2]).shape == drawn_data(curves()).shape


def test_a_notebook_keeps_pdf_and_data_beside_what_it_shows() -> None:
    shown, kept = notebook_files(curves())
    assert shown == {}
    assert base64.b64decode(kept[METADATA]["pdf"]).startswith(b"%PDF")
    assert kept[METADATA]["csv"].startswith("panel,title,kind,series,part,colour,x_axis,x,y_axis,y,value\n")
