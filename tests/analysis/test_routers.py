"""Router statistics of runs are means by sparsity."""

import numpy as np
import pytest

from moe_lib.analysis.routers import router_table


def a_run(load: list[list[float]], dead: list[int]) -> dict[str, object]:
    entropy = [float(-(np.array(layer) * np.log(np.maximum(layer, 1e-300))).sum()) for layer in load]
    router = {"load": load, "n_dead": dead, "entropy": entropy}
    return {"sparsity": 0.75, "config": {"model": {"n_experts": 4}}, "router": router}


def test_even_and_uneven_routers_are_averaged_and_a_run_without_one_is_left_out() -> None:
    even, one_sided = a_run([[0.25] * 4], [0]), a_run([[1.0, 0, 0, 0]], [3])
    [row] = router_table([even, one_sided, {"sparsity": 0.75}]).to_dict("records")
    assert (row["n"], row["experts"]) == (2, 4)
    assert (row["dead"], row["busiest"], row["entropy"]) == pytest.approx((3 / 8, 2.5, 0.5))


def test_runs_without_a_router_give_an_empty_table() -> None:
    assert router_table([{"sparsity": 0.0, "router": None}]).empty
