"""Plans: models that can be built, the cost of bounds, the end of a law's data, and the machines that are needed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moe_lib.accounting import count_flops, count_parameters
from moe_lib.config import ModelConfig, RunConfig
from moe_lib.errors import InputError
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024, FRANTAR2024, HOFFMANN2022
from moe_lib.planner import OURS, PAPER, Demand, Family, Hardware, plan, run_config, worths, write_run
from moe_lib.planner.built import ALIKE, build
from moe_lib.planner.hardware import all_to_all_bytes, memory_bytes
from moe_lib.planner.plan import outside
from moe_lib.repository import GRID
from moe_lib.sweeps import read_sweep

DEMAND = Demand(1e20, max_params=2e9)
SMALL = Law(SPARSITY, ABNAR2025.values, "the paper's law, as if fitted on small models")  # its data are unknown


@pytest.mark.parametrize(
    "demand",
    [
        DEMAND,
        Demand(1e20, max_params=4e8),
        Demand(3e18),
        Demand(1e18, max_sparsity=0.6),
        Demand(1e20, max_params=2e9, serving_tokens=3e10, max_tokens=2e10),
    ],
)
def test_no_model_of_the_family_beats_the_one_to_build(demand: Demand) -> None:
    best = plan("abnar2025", ABNAR2025, demand).built
    question = demand.of(ABNAR2025, PAPER, PAPER.convention)
    lowest = {
        granularity: min(
            found.loss
            for experts in range(granularity, 50 * granularity + 1)
            if 1 - granularity / experts <= question.max_sparsity
            for heads in range(1, 30)
            if (found := build(question, PAPER.model(heads, experts, granularity)))
        )
        for granularity in (1, 2)
    }
    assert best.loss == pytest.approx(lowest[best.model.granularity], abs=1e-12)
    assert best.model.granularity == (2 if lowest[2] < lowest[1] - ALIKE else 1)


def test_the_model_to_build_is_counted_and_paid_for_in_full() -> None:
    demand = replace(DEMAND, serving_tokens=3e10)
    found = plan("abnar2025", ABNAR2025, demand)
    built, shape = found.built, found.built.model
    assert built.n_params == count_parameters(shape).total <= 2e9
    assert built.n_params_active == count_parameters(shape).active
    assert shape.sparsity == (shape.n_experts - shape.n_experts_active) / shape.n_experts
    assert shape.d_model % 64 == 0
    assert (shape.n_layers, shape.d_head) == (shape.d_model / 64, 64)
    assert shape.n_experts_active == shape.granularity
    per_token = count_flops(shape).total
    assert built.training_flops + per_token / 3 * demand.serving_tokens == pytest.approx(demand.flops)
    assert built.loss == pytest.approx(float(ABNAR2025.loss(built.n_params, built.n_tokens, shape.sparsity)))
    assert found.loss < built.loss < found.loss + 0.03


def test_a_sparsity_between_whole_numbers_of_experts_takes_finer_ones() -> None:
    peaked = SMALL.values | {"a": 0.0, "c": 1e-3, "lambda": 8.0, "d": 1e3, "delta": 0.1}
    found = plan("peaked", Law(SPARSITY, peaked, limits={"S": 0.98}), Demand(1e20))
    assert 0.2 < found.sparsity < 0.45
    assert (found.built.model.granularity, found.built.model.n_experts) == (2, 3)


def test_a_dense_law_builds_a_dense_model_that_sends_nothing() -> None:
    found = plan("besiroglu2024", BESIROGLU2024, DEMAND)
    assert (found.sparsity, found.built.model.n_experts) == (0, 1)
    assert found.all_to_all_bytes_per_token == {"forward": 0, "training": 0}
    assert [bound.name for bound in found.bounds] == ["flops", "max_params"]


def test_a_bound_is_worth_what_the_next_plan_gains() -> None:
    found = {bound.name: bound for bound in plan("abnar2025", ABNAR2025, DEMAND).bounds}
    before, after = (plan("abnar2025", ABNAR2025, Demand(1e20, max_params=n)).loss for n in (2e9, 2.2e9))
    assert found["max_params"].binds
    assert found["max_params"].worth == pytest.approx(before - after, rel=1e-6)
    assert not found["max_sparsity"].binds


def test_a_loose_bound_does_not_bind_and_a_starved_budget_is_said() -> None:
    found = plan("abnar2025", ABNAR2025, Demand(1e21, max_params=1e9, max_tokens=1e9))
    bounds = {bound.name: bound for bound in found.bounds}
    assert not bounds["flops"].binds
    assert bounds["max_tokens"].binds
    assert "a part of the budget unspent" in " ".join(found.warnings)
    assert found.training_flops < 1e21


def test_the_edge_of_the_data_is_not_printed_as_an_optimum() -> None:
    found = plan("abnar2025", ABNAR2025, Demand(1e21))
    assert found.sparsity == 0.98
    assert found.at_edge
    assert "S = 0.98 is the edge of this law's data, not an optimum" in found.warnings[0]
    assert any(sentence.startswith("N = ") and "outside this law's data" in sentence for sentence in found.outside)
    inner = plan("abnar2025", ABNAR2025, DEMAND)
    assert not inner.at_edge
    assert not any("edge" in sentence for sentence in inner.warnings)
    assert any("edge" in sentence for sentence in plan("frantar2024", FRANTAR2024, DEMAND).warnings)
    insists = plan("abnar2025", ABNAR2025, Demand(1e21, max_sparsity=0.99))
    assert "is the edge of what was allowed" in insists.warnings[0]
    assert any("S = 0.99 is outside this law's data, which end at 0.98" in sentence for sentence in insists.outside)


def test_both_ends_of_a_law_s_data_are_known() -> None:
    inside = {"N": 1e9, "D": 2e10, "S": 0.0, "C": 1.2e20}
    assert outside(HOFFMANN2022, inside) == ()
    assert outside(ABNAR2025, inside) == ()
    assert outside(HOFFMANN2022, inside | {"N": 2e10})[0].endswith("end at 1.6e+10")
    assert outside(ABNAR2025, inside | {"C": 1e15})[0].endswith("begin at 3e+19")


def test_intervals_cover_the_optima_of_refits_and_their_losses_of_the_plan() -> None:
    refits = [Law(SPARSITY, ABNAR2025.values | {"e": 0.94 + shift}) for shift in np.linspace(-0.1, 0.1, 41)]
    found = plan("abnar2025", ABNAR2025, DEMAND, resampled=refits)
    assert found.intervals is not None
    assert found.intervals["sparsity"] == pytest.approx(
        (found.sparsity, found.sparsity), abs=1e-6
    )  # e moves no optimum
    low, high = found.intervals["loss"]
    assert (low, high) == pytest.approx((found.loss - 0.095, found.loss + 0.095), abs=1e-6)
    assert plan("abnar2025", ABNAR2025, DEMAND).intervals is None


def test_memory_is_that_of_all_parameters() -> None:
    found = plan("abnar2025", ABNAR2025, DEMAND)
    assert found.memory_bytes["weights"] == 2 * found.built.n_params
    assert memory_bytes(15e9)["training"] == 240e9  # weights and Adam of 15B parameters in mixed precision
    dense, sparse = (memory_bytes(count_parameters(PAPER.model(8, e)).total)["weights"] for e in (1, 10))
    assert sparse > 3 * dense


@pytest.mark.parametrize(("experts", "active", "layers"), [(8, 2, 4), (50, 1, 8), (4, 4, 2), (1, 1, 3)])
def test_all_to_all_counts_every_value_that_leaves_the_token_s_device(experts: int, active: int, layers: int) -> None:
    model = ModelConfig(d_model=512, n_layers=layers, n_heads=8, n_experts=experts, n_experts_active=active)
    sent = 0
    for _layer in range(layers):
        for _expert in range(active if experts > active else 0):
            sent += 512  # to the expert
            sent += 512  # and back
    assert all_to_all_bytes(model) == {"forward": 2 * sent, "training": 4 * sent}


def test_hours_are_flops_over_what_a_gpu_reaches() -> None:
    assert Hardware(990e12, 0.35).gpu_hours(1e21) == pytest.approx(800, rel=0.01)
    for wrong, says in (((990e12, 0.0), "utilisation = 0 has to be"), ((0.0, 0.5), "peak-flops = 0 has to be")):
        with pytest.raises(InputError, match=says):
            Hardware(*wrong)


@pytest.mark.parametrize(
    ("demand", "says"),
    [
        (Demand(1e20, max_params=1e6), r"max-params = 1e\+06 is below 6,5\d\d,\d\d\d, the smallest model"),
        (Demand(1e8), r"flops = 1e\+08 is below .* of the family paper"),
        (Demand(1e20, max_tokens=100), "max-tokens = 100 is less than one sequence of 2048 tokens"),
    ],
)
def test_a_demand_that_no_model_meets_is_refused(demand: Demand, says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan("abnar2025", ABNAR2025, demand)


@pytest.mark.parametrize(("family", "demand"), [(PAPER, DEMAND), (OURS, Demand(1e13, max_params=5e6))])
def test_the_run_of_a_plan_spends_its_budget(family: Family, demand: Demand, tmp_path: Path) -> None:
    built = plan("abnar2025", ABNAR2025, demand, family).built
    write_run(run_config(built, family), tmp_path / "run.yaml", "planned\nfor a test")
    run = RunConfig.from_yaml(tmp_path / "run.yaml")
    assert run.model == built.model
    assert run.training.flops == built.training_flops
    assert run.corpus == {"paper": "redpajama", "ours": "reference"}[family.name]
    assert run.training.fact_share == 0
    assert (tmp_path / "run.yaml").read_text().startswith("# planned\n# for a test\n")


def test_a_small_run_is_trained_as_those_of_the_grid() -> None:
    like = next(run for run in read_sweep(GRID, "surface") if run.model.sparsity == 0.9)
    question = Demand(like.training.flops).of(ABNAR2025, OURS, OURS.convention)
    built = build(question, like.model)
    assert built is not None
    run = run_config(built, OURS)
    assert run.model == like.model
    assert run.corpus == like.corpus
    assert run.training == like.training.with_(fact_share=0.0, flops=built.training_flops)
    assert run_config(built, OURS, "embedded").corpus == "embedded"


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    run, path = run_config(plan("abnar2025", ABNAR2025, DEMAND).built, PAPER), tmp_path / "run.yaml"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_run(run, path)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_worths_are_those_of_the_plan() -> None:
    found = plan("abnar2025", ABNAR2025, DEMAND)
    assert worths(ABNAR2025, DEMAND) == pytest.approx({bound.name: bound.worth for bound in found.bounds})
