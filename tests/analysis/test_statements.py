"""The statements of Section 2: yes, no and undecided, each on runs made to show it."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.statements import judge
from moe_lib.laws.basis import feature
from moe_lib.laws.resampled import resample_surface
from moe_lib.paper import SPARSITIES

SIZES = np.exp([14.0, 15.0])


def judged(drift: float, gain: float, noise: float = 0.003, bend: float = 0.05) -> "pd.Series[str]":
    """The judgement of losses with N* = exp(14 + drift s), lower by `gain` per e-fold of 1 / (1 - S)."""
    s, n = (grid.ravel() for grid in np.meshgrid(feature("S", SPARSITIES), 14 + np.linspace(-2, 4, 9)))
    loss = 3 + 0.1 * (n - 14 - drift * s) ** 2 + (bend - 0.1 * drift**2) * s**2 - gain * s
    loss = loss + noise * np.random.default_rng(0).standard_normal(len(n))
    table = pd.DataFrame({"N": np.exp(n), "S": -np.expm1(-s), "L": loss}).assign(Na=lambda t: (1 - t["S"]) * t["N"])
    surfaces = (resample_surface(table, size=size, resamples=80) for size in ("N", "Na"))  # type: ignore[arg-type]
    return judge(*surfaces, SPARSITIES, list(SIZES)).set_index("statement")["shows"]


def test_runs_made_as_the_paper_says_show_it() -> None:
    assert set(judged(drift=0.5, gain=0.3)) == {"yes"}


def test_runs_made_otherwise_show_that() -> None:
    found = judged(drift=-0.5, gain=-0.3)
    assert found["at every S the loss is a valley in log N"] == "yes"
    assert found["N* rises with S"] == "no"
    assert found["N_a* falls with S"] == "yes"
    assert found["L* falls with S"] == "no"
    assert judged(drift=1.5, gain=0.3, bend=0.3)["N_a* falls with S"] == "no"


def test_noise_leaves_a_small_effect_undecided() -> None:
    assert judged(drift=0.5, gain=0.08, bend=0.025, noise=0.3)["L* falls with S"] == "undecided"


def test_the_numbers_are_those_of_the_surface() -> None:
    s, n = (grid.ravel() for grid in np.meshgrid(feature("S", SPARSITIES), 14 + np.linspace(-2, 4, 9)))
    loss = 3 + 0.1 * (n - 14) ** 2 - 0.1 * (n - 14) * s + 0.05 * s**2 - 0.2 * s
    table = pd.DataFrame({"N": np.exp(n), "S": -np.expm1(-s), "L": loss})
    total = resample_surface(table, resamples=5)
    values = judge(total, total, SPARSITIES, list(SIZES)).set_index("statement")["value"]
    assert values["at every S the loss is a valley in log N"] == pytest.approx(0.2, rel=1e-3)
    assert values["N* rises with S"] == pytest.approx(0.5, rel=1e-3)
    assert values["at fixed N the loss is a valley in S"] == pytest.approx(0.1, rel=1e-3)
    assert values["S* rises with N"] == pytest.approx(1.0, rel=1e-3)
