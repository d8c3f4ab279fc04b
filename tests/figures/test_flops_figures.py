"""Figures of counts show the models that they were given."""

import pandas as pd

from moe_lib.figures import flops


def test_every_model_off_the_line_hangs_on_the_dense_one_of_its_width() -> None:
    rows = [(64, 0.0, 1, 1e6, 6e6), (128, 0.0, 1, 8e6, 48e6), (64, 0.9, 1, 9e6, 6.1e6), (64, 0.0, 2, 1e6, 11e6)]
    table = pd.DataFrame(rows, columns=["d_model", "sparsity", "repeats", "n_params", "flops"])
    [axes] = flops.leaving_the_line(table).axes
    line, looped, sparse = axes.lines[:3]
    assert list(line.get_ydata()) == [1e6, 8e6]
    assert (list(looped.get_xdata()), list(looped.get_ydata())) == ([6e6, 11e6], [1e6, 1e6])
    assert (list(sparse.get_xdata()), list(sparse.get_ydata())) == ([6e6, 6.1e6], [1e6, 9e6])
    dots = {line.get_label(): list(line.get_ydata()) for line in axes.lines if line.get_marker() == "o"}
    assert dots == {"dense, S = 0": [1e6], "S = 0.9": [9e6]}
    [square] = [line for line in axes.lines if line.get_marker() == "s"]
    assert list(square.get_xdata()) == [11e6]
