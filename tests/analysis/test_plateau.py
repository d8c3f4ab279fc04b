"""How long the plateau is with which training begins."""

import numpy as np

from moe_lib.analysis.plateau import curves_of, plateau_by_size, plateau_table, steps_above

CURVE = {"step": [10, 20, 30, 40], "loss": [6.0, 4.4, 4.6, 4.0]}


def a_run(loss: float | None = 3.0, curve: dict[str, list[float]] = CURVE, rate: float = 0.01) -> dict[str, object]:
    config = {
        "model": {"d_model": 48, "n_layers": 2},
        "training": {"flops": 1e13, "batch_size": 4, "learning_rate": rate},
    }
    row = {"config": config, "n_params_active": 1e5, "sparsity": 0.0, "n_steps": 40, "curve": curve}
    return row if loss is None else row | {"loss": loss}


def test_a_plateau_ends_when_the_curve_first_falls_below_a_loss_or_never() -> None:
    row = {"curve": CURVE}
    assert steps_above(row, 4.5) == 20
    assert steps_above(row, 3.0) is None


def test_a_run_that_stays_on_the_plateau_spends_all_its_steps_there_and_a_diverged_one_is_left_out() -> None:
    stuck = a_run(curve=CURVE | {"loss": [6.0, 5.0, 5.0, 5.0]})
    table = plateau_table([a_run(), stuck, a_run(loss=None)])
    assert table["share"].to_list() == [0.5, 1.0]
    assert np.isnan(table["steps"].iloc[1])


def test_sizes_are_summed_up_with_the_runs_that_never_left_the_plateau() -> None:
    stuck = a_run(curve=CURVE | {"loss": [6.0, 5.0, 5.0, 5.0]})
    table = plateau_table([a_run(), a_run(), a_run(), stuck, a_run(rate=1e-4)])
    [size] = plateau_by_size(table, 4e-3, [1e13]).to_dict("records")
    assert (size["n"], size["never"], size["median"], size["high"], size[1e13]) == (4, 1, 20, np.inf, 0.5)


def test_curves_are_those_of_the_runs_asked_for() -> None:
    assert curves_of([a_run(), a_run(rate=1e-4)], d_model=48, learning_rate=0.01) == {0.0: CURVE}
    assert curves_of([a_run()], d_model=60) == {}
