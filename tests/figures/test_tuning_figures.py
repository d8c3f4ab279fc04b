"""The figures of tuning and noise show the runs they were given, and mark what is lowest."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.regret import above_vertex, regret
from moe_lib.figures import tuning
from moe_lib.sweeps.peak_rate import PeakRate


def test_the_lowest_run_of_each_panel_is_ringed() -> None:
    rows = [
        (16, 1, sparsity, batch, rate, 4 + sparsity + 0.1 * batch + np.log(rate / 0.01) ** 2)
        for sparsity in (0.0, 0.9)
        for batch in (2, 4)
        for rate in (0.005, 0.01, 0.02)
    ]
    table = pd.DataFrame(rows, columns=["d_model", "n_layers", "sparsity", "batch_size", "learning_rate", "loss"])
    table.loc[0, "loss"] = np.nan
    dense, sparse = tuning.rates_and_batches(table, context_length=256).axes
    for axes, lowest in ((dense, 4.2), (sparse, 5.1)):
        rings = [line for line in axes.lines if line.get_markersize() == 11]
        assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [
            ([0.01], [pytest.approx(lowest)])
        ]
        assert sorted(len(line.get_xdata()) for line in axes.lines if line not in rings) in ([2, 3], [3, 3])


def test_the_regret_of_a_rate_is_drawn_from_its_parabola() -> None:
    rows = [
        (1e5, s, c, rate, 4 + 0.1 * np.log(rate / 0.01 / factor) ** 2)
        for s, factor in ((0.0, 1.0), (0.9, 2.0))
        for c in (1e12, 1e13)
        for rate in 0.01 * 2.0 ** np.arange(-2, 3)
    ]
    runs = pd.DataFrame(rows, columns=["n_params_active", "sparsity", "flops", "learning_rate", "loss"])
    rule = PeakRate(at_reference=0.01)
    figure = tuning.regret_of_rates(above_vertex(runs, rule), regret(runs, rule))
    for axes, factor in zip(figure.axes, (1.0, 2.0), strict=True):
        diamonds = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
        assert diamonds == [pytest.approx(factor, rel=0.02)] * 2
        points = [line for line in axes.lines if line.get_marker() == "o"]
        assert [len(line.get_xdata()) for line in points] == [5, 5]


def test_every_seed_is_shown_about_the_mean_of_its_cell() -> None:
    table = pd.DataFrame(
        [(s, shape, above) for s in (0.0, 0.9) for shape in ("16 x 1", "32 x 2") for above in (-0.01, 0.0, 0.01)],
        columns=["S", "shape", "above"],
    )
    axes = tuning.noise(table, pd.Series({0.0: 0.01, 0.9: 0.02})).axes[0]
    shown = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(shown) == 4
    assert all(sorted(line.get_ydata()) == [-0.01, 0.0, 0.01] for line in shown)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["dense, S = 0\nsd 0.010", "S = 0.9\nsd 0.020"]


def test_the_end_of_the_plateau_is_shown_by_curve_and_by_share_of_steps() -> None:
    curve = {"step": [10, 20, 40], "loss": [6.0, 4.8, 4.2]}
    runs = pd.DataFrame({"n_steps": [100, 400], "sparsity": [0.0, 0.9], "share": [0.4, 0.1]})
    figure = tuning.plateau({"one": {0.0: curve}, "two": {0.0: curve, 0.9: curve}}, runs, guessing=6.9, end=4.5)
    one, two, shares = figure.axes
    assert [len(axes.lines) for axes in (one, two)] == [3, 4]
    assert list(one.lines[-1].get_ydata()) == curve["loss"]
    assert shares.collections[0].get_offsets().tolist() == [[100, 0.4], [400, 0.1]]
