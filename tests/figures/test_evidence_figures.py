"""The figures of the evidence show the runs they were given, and mark what is lowest and what is extrapolated."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.figures import evidence
from moe_lib.laws.isoflop import parabolas


def test_the_lowest_run_of_each_panel_is_ringed() -> None:
    rows = [
        (16, 1, sparsity, batch, rate, 4 + sparsity + 0.1 * batch + np.log(rate / 0.01) ** 2)
        for sparsity in (0.0, 0.9)
        for batch in (2, 4)
        for rate in (0.005, 0.01, 0.02)
    ]
    table = pd.DataFrame(rows, columns=["d_model", "n_layers", "sparsity", "batch_size", "learning_rate", "loss"])
    table.loc[0, "loss"] = np.nan
    dense, sparse = evidence.tuning(table, context_length=256).axes
    for axes, lowest in ((dense, 4.2), (sparse, 5.1)):
        rings = [line for line in axes.lines if line.get_markersize() == 11]
        assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [
            ([0.01], [pytest.approx(lowest)])
        ]
        assert sorted(len(line.get_xdata()) for line in axes.lines if line not in rings) in ([2, 3], [3, 3])


def test_each_parabola_goes_through_its_vertex_and_an_outside_one_is_hollow() -> None:
    sizes = np.geomspace(1e5, 1e7, 6)
    runs = pd.concat(
        pd.DataFrame({"N": sizes, "S": s, "L": 3 + 0.1 * np.log(sizes / best) ** 2, "se": 0.01})
        for s, best in ((0.0, 1e6), (0.9, 1e8))
    )
    fits = parabolas(runs)
    inside, outside = evidence.raw_parabolas(runs, fits).axes[:2]
    curve = inside.lines[0]
    assert curve.get_ydata().min() == pytest.approx(3, abs=1e-3)
    assert curve.get_xdata()[curve.get_ydata().argmin()] == pytest.approx(1e6, rel=0.05)
    assert inside.lines[-1].get_markerfacecolor() != "white"
    assert outside.lines[-1].get_markerfacecolor() == "white"
