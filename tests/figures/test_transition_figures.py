"""The figures of transitions show every run they are given, and mark the steps of its transitions."""

import numpy as np

from moe_lib.figures.transitions import previous_token_heads, residual_stream, transitions

STEPS = [0, 10, 100, 1000]


def row(sparsity: float, copy_step: int | None) -> dict[str, object]:
    layers = [[0.5, 0.2]] * 4
    seen = {"step": STEPS, "copy_first": [7.0] * 4, "copy_second": [7.0, 7.0, 7.0, 5.0], "bigram_step": 100,
            "copy_step": copy_step, "unigram_loss": 6.0, "bigram_loss": 4.0}  # fmt: skip
    seen |= {name: layers for name in ("token_share", "attention_rms", "experts_rms", "previous_token")}
    return {
        "sparsity": sparsity,
        "config": {"training": {"seed": 0}},
        "curve": {"step": [10, 100, 1000], "loss": [6.5, 5.0, 3.0]},
        "dynamics": seen,
    }


def test_transitions_are_marked_on_the_curves_of_each_run() -> None:
    figure = transitions({"paper": [row(0, None), row(0.9, None)], "modern": [row(0, 1000), row(0.9, None)]})
    assert len(figure.axes) == 6
    points = [
        [(line.get_xdata()[0], float(line.get_ydata()[0])) for line in axes.lines if line.get_marker() == "o"]
        for axes in figure.axes
    ]
    assert points[:2] == [[(100, 5.0), (100, 5.0)]] * 2  # loss, one column per sparsity
    assert points[2:4] == [[(1000, 2.0)], []]  # copying


def test_the_stream_is_drawn_for_every_layer() -> None:
    for axes, last in zip(residual_stream(row(0, None)).axes, (0.2, 0.2, 0.2), strict=True):
        assert len(axes.lines) == 2
        assert np.allclose(axes.lines[1].get_ydata(), last)


def test_heads_are_drawn_by_layer_with_the_step_of_copying() -> None:
    copies, never, other = previous_token_heads({"a": [row(0, 100), row(0.9, None)], "b": [row(0, None)]}).axes[:3]
    assert [len(axes.lines) for axes in (copies, never, other)] == [3, 2, 2]
    assert copies.lines[2].get_xdata() == [100, 100]
