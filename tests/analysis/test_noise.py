"""Noise between seeds: pooled over the runs that differ in nothing else."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.noise import seed_noise, seed_spread
from moe_lib.errors import InputError


def test_seed_noise_is_the_spread_of_equal_runs() -> None:
    table = pd.DataFrame({"N": np.repeat(np.arange(200), 3), "L": np.random.default_rng(0).normal(3, 0.02, 600)})
    assert seed_noise(table, ["N"]) == pytest.approx(0.02, rel=0.1)
    with pytest.raises(InputError, match="no two runs agree"):
        seed_noise(table.drop_duplicates("N"), ["N"])


def test_the_spread_of_seeds_is_pooled_over_the_runs_that_differ_in_nothing_else() -> None:
    def a_run(sparsity: float, loss: float, rate: float, seed: int) -> dict[str, object]:
        return {"sparsity": sparsity, "loss": loss, "config": {"training": {"learning_rate": rate, "seed": seed}}}

    rows = [
        *(a_run(0.0, loss, 0.01, seed) for seed, loss in enumerate((4.0, 4.1, 4.2))),
        *(a_run(0.0, loss, 0.02, seed) for seed, loss in enumerate((5.0, 5.2))),
        a_run(0.9, 3.0, 0.01, 0),
    ]
    spread = seed_spread(rows)
    assert list(spread.index) == [0.0]
    assert spread[0.0] == pytest.approx(((0.02 + 0.02) / 3) ** 0.5)
