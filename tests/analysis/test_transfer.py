"""Transfer: finds a planted effect, claims equivalence only within a margin, and names the variable behind sparsity."""

import numpy as np
import pandas as pd
import pytest

from moe_lib.analysis.transfer import common_support, transfer
from moe_lib.errors import InputError


def runs(effect: float = 0.0, through: str | None = None, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for sparsity in (0.0, 0.5, 0.75, 0.9, 0.95):
        for size in range(8):
            n_params_active = 1e5 * 1.6**size
            for _ in range(2):
                loss = 3.5 - 0.15 * size - 0.2 * sparsity + rng.normal(0, 0.05)
                n_tokens = 1e7 * rng.uniform(0.5, 2)
                behind = {None: 0.0, "n_params_active": 0.05 * np.log(n_params_active)}[through]
                rows.append(
                    {
                        "loss": loss,
                        "sparsity": sparsity,
                        "n_params": n_params_active / (1 - sparsity),
                        "n_params_active": n_params_active,
                        "n_tokens": n_tokens,
                        "configuration": f"{sparsity} {size}",
                        "probe": np.sin(loss) + effect * sparsity + behind + rng.normal(0, 0.005),
                    }
                )
    return pd.DataFrame(rows).assign(other=lambda table: table["probe"].to_numpy()[::-1])


def test_a_planted_effect_is_found_at_equal_loss() -> None:
    row = transfer(runs(effect=0.1), ["probe"], margin=0.05).iloc[0]
    assert row["low"] < 0.1 < row["high"]
    assert row["p_holm"] < 1e-3
    assert not row["equivalent"]


def test_no_effect_is_called_equivalent_within_a_margin() -> None:
    row = transfer(runs(), ["probe"], margin=0.05).iloc[0]
    assert row["low"] < 0 < row["high"]
    assert row["equivalent"]


def test_no_effect_is_not_called_equivalent_within_a_margin_too_narrow() -> None:
    row = transfer(runs(), ["probe"], margin=1e-4).iloc[0]
    assert not row["equivalent"]


def test_the_variable_behind_sparsity_has_the_lowest_aic() -> None:
    row = transfer(runs(through="n_params_active"), ["probe"], margin=0.05).iloc[0]
    names = ["aic_loss", "aic_sparsity", "aic_n_params_active", "aic_tokens_per_param"]
    assert min(names, key=lambda name: row[name]) == "aic_n_params_active"


def test_holm_never_lowers_a_p_value() -> None:
    table = transfer(runs(effect=0.02), ["probe", "other"], margin=0.05)
    assert (table["p_holm"] >= table["p_value"]).all()


def test_only_losses_that_every_sparsity_reaches_are_compared() -> None:
    inside = common_support(runs())
    bounds = inside.groupby("sparsity")["loss"].agg(["min", "max"])
    everything = runs().groupby("sparsity")["loss"]
    assert bounds["min"].min() >= everything.min().max()
    assert bounds["max"].max() <= everything.max().min()


def test_runs_without_shared_losses_are_refused() -> None:
    apart = runs().assign(loss=lambda table: table["loss"] + 10 * table["sparsity"])
    with pytest.raises(InputError, match="no losses that at least two sparsities share"):
        transfer(apart, ["probe"], margin=0.1)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="runs lack the column n_tokens"):
        transfer(runs().drop(columns="n_tokens"), ["probe"], margin=0.1)
