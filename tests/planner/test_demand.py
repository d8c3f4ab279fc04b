"""Optima under several bounds at once, checked by brute force, by another optimiser and by duality."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize, minimize_scalar

from moe_lib.accounting import CONVENTIONS, Convention
from moe_lib.errors import InputError
from moe_lib.laws.optimum import INDIFFERENCE, optimum
from moe_lib.laws.parametric import CHINCHILLA, Law
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024, CLARK2022, FRANTAR2024, LUDZIEJEWSKI2025
from moe_lib.planner import OURS, PAPER, Demand

EVERYTHING = Demand(1e21, max_params=5e9, max_tokens=1.5e11, serving_tokens=2e11)
DEMANDS = [
    Demand(1e21),
    Demand(1e21, max_params=5e9),
    Demand(1e21, max_bytes=80e9, bytes_per_param=2.0),
    Demand(1e20, max_tokens=1e9),
    Demand(1e22, serving_tokens=1e12),
    EVERYTHING,
]
LAWS = {"abnar": ABNAR2025, "besiroglu": BESIROGLU2024, "ludziejewski": LUDZIEJEWSKI2025, "frantar": FRANTAR2024}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("demand", DEMANDS)
def test_no_point_of_a_fine_grid_beats_the_optimum(law: Law, demand: Demand) -> None:
    question = demand.of(law, PAPER, "two-embeddings")
    best = float(question.loss(*question.solve()))
    sizes = np.geomspace(1e7, min(demand.largest, 1e13), 600)
    hidden = np.linspace(0, question.end, 300)[:, None]
    grid = question.loss(sizes, 1 - np.exp(-hidden))
    assert best <= grid.min() + 1e-10
    assert best == pytest.approx(grid.min(), abs=2e-3)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("demand", DEMANDS)
def test_an_optimiser_that_chooses_size_sparsity_and_tokens_freely_finds_the_same(
    demand: Demand, convention: Convention
) -> None:
    question = demand.of(ABNAR2025, PAPER, convention)
    n, s = question.solve()

    def loss(x: np.ndarray) -> float:
        return float(ABNAR2025.loss(np.exp(x[0]), np.exp(x[1]), -np.expm1(-x[2])))

    def spare(x: np.ndarray) -> float:
        active = float(question.active(np.exp(x[0]), -np.expm1(-x[2])))
        spent = 6 * active * np.exp(x[1]) + 2 * active * demand.serving_tokens
        return float(np.log(demand.flops / spent))

    bounds = [
        (np.log(1e7), np.log(min(demand.largest, 1e13))),
        (np.log(1e6), np.log(demand.max_tokens or 1e15)),
        (0, question.end),
    ]
    constraint = {"type": "ineq", "fun": spare}
    starts = [[np.log(min(size, demand.largest)), np.log(1e9), 1.0] for size in (1e8, 1e9, 1e10)]
    tries = [
        minimize(loss, start, method="SLSQP", bounds=bounds, constraints=constraint, options={"ftol": 1e-13})
        for start in starts
    ]
    found = min((one for one in tries if spare(one.x) > -1e-6), key=lambda one: one.fun)
    assert question.loss(n, s) == pytest.approx(found.fun, abs=1e-6)
    assert question.tokens(n, s) == pytest.approx(np.exp(found.x[1]), rel=0.02)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_with_a_bound_on_size_alone_it_is_the_optimum_of_the_budget(convention: Convention) -> None:
    n, s = Demand(1e21, max_params=5e9).of(ABNAR2025, PAPER, convention).solve()
    found = optimum(ABNAR2025, 1e21, max_params=5e9, convention=convention)
    assert (n, s) == pytest.approx((found.n_params, found.sparsity), rel=1e-6)


@pytest.mark.parametrize("law", [ABNAR2025, LUDZIEJEWSKI2025])
def test_the_lowest_loss_of_a_lifetime_budget_is_the_cheapest_lifetime_of_that_loss(law: Law) -> None:
    demand = Demand(1e21, max_params=5e9, serving_tokens=3e11)
    question = demand.of(law)
    n, s = question.solve()
    target = float(question.loss(n, s))

    def lifetime(hidden: float) -> float:
        sparsity = -np.expm1(-hidden)
        active = float(question.active(5e9, sparsity))
        inputs = {"N": 5e9, "Na": active, "S": sparsity}

        def above(log_tokens: float) -> float:
            named = inputs | {"D": np.exp(log_tokens)}
            return float(law.loss(**{name: named[name] for name in law.form.inputs})) - target

        ends = np.log(1e6), np.log(1e20)
        if above(ends[1]) > 0:
            return np.inf
        return float(6 * active * np.exp(brentq(above, *ends)) + 2 * active * demand.serving_tokens)

    cheapest = minimize_scalar(lifetime, bounds=(0, question.end), method="bounded", options={"xatol": 1e-9})
    assert cheapest.fun == pytest.approx(demand.flops, rel=1e-6)
    assert -np.expm1(-cheapest.x) == pytest.approx(s, abs=1e-3)


def test_serving_two_trillion_tokens_at_the_loss_of_a_13b_model_takes_a_7b_one_as_in_sardana_et_al() -> None:
    """Their Figure 1: 7B instead of 13B, 1.7e22 FLOPs or 17 % less, by the coefficients of Hoffmann et al. (2022)."""
    law = Law(CHINCHILLA, {"a": 406.4, "b": 410.7, "e": 1.69, "alpha": 0.336, "beta": 0.283})
    served = 2e12
    budget = brentq(lambda x: Demand(np.exp(x)).of(law).solve()[0] - 13e9, np.log(1e21), np.log(1e24))
    target = float(Demand(np.exp(budget)).of(law).loss(13e9, 0.0))
    before = np.exp(budget) + 2 * 13e9 * served

    def above(log_flops: float) -> float:
        question = Demand(float(np.exp(log_flops)), serving_tokens=served).of(law)
        return float(question.loss(*question.solve())) - target

    after = float(np.exp(brentq(above, np.log(before / 3), np.log(before))))
    n, _ = Demand(after, serving_tokens=served).of(law).solve()
    assert n == pytest.approx(7e9, rel=0.1)
    assert before - after == pytest.approx(1.7e22, rel=0.1)
    assert 1 - after / before == pytest.approx(0.17, abs=0.02)


def test_more_to_serve_means_fewer_active_parameters_and_more_training_tokens_per_parameter() -> None:
    found = [Demand(1e22, max_params=2e10, serving_tokens=t).of(ABNAR2025) for t in (0, 1e11, 1e12, 1e13)]
    active = [float(q.active(*q.solve())) for q in found]
    ratio = [float(q.tokens(*q.solve()) / q.active(*q.solve())) for q in found]
    assert np.all(np.diff(active) < 0)
    assert np.all(np.diff(ratio) > 0)


def test_fewer_tokens_to_train_on_mean_more_active_parameters_until_the_budget_is_not_spent() -> None:
    questions = [Demand(1e21, max_params=1e10, max_tokens=d).of(ABNAR2025) for d in (1e12, 1e11, 2e10, 1e9)]
    active = [float(q.active(*q.solve())) for q in questions]
    assert np.all(np.diff(active[:3]) > 0)
    last = questions[-1]
    assert 6 * active[-1] * float(last.tokens(*last.solve())) < 0.1 * last.flops


@pytest.mark.parametrize("law", [ABNAR2025, LUDZIEJEWSKI2025, BESIROGLU2024])
@pytest.mark.parametrize("demand", [Demand(1e21), Demand(1e21, max_params=5e9), EVERYTHING])
def test_the_band_holds_all_that_loses_less_than_a_hundredth(law: Law, demand: Demand) -> None:
    question = demand.of(law, PAPER, "two-embeddings")
    n, s = question.solve()
    band = question.band(n, s)
    sizes = np.geomspace(1e7, min(demand.largest, 1e13), 4001)
    hidden = np.linspace(0, question.end, 801)[:, None]
    fine = question.loss(sizes, 1 - np.exp(-hidden)) <= question.loss(n, s) + INDIFFERENCE
    inside = sizes[fine.any(axis=0)]
    assert (inside.min(), inside.max()) == pytest.approx(band["n_params"], rel=0.02)
    if question.sparse:
        ends = hidden[fine.any(axis=1), 0]
        step = question.end / 800
        assert (ends.min(), ends.max()) == pytest.approx(-np.log1p(-np.array(band["sparsity"])), abs=2 * step)


def test_a_law_is_not_asked_beyond_its_sparsest_run_unless_somebody_insists() -> None:
    assert Demand(1e21).of(ABNAR2025).solve()[1] == 0.98
    assert Demand(1e21, max_sparsity=0.995).of(ABNAR2025).solve()[1] == 0.995
    assert Demand(1e21, max_params=5e9, max_sparsity=0.5).of(ABNAR2025).solve()[1] == 0.5


def test_shapes_of_another_family_count_its_own_embeddings() -> None:
    n, s = 2e6, 0.9
    ours = Demand(1e13).of(ABNAR2025, OURS, OURS.convention)
    model = min((OURS.model(heads, 10) for heads in range(1, 9)), key=lambda m: abs(m.d_model**3 * 124 / 32 - n))
    assert ours.active(n, s) < Demand(1e13).of(ABNAR2025, PAPER, "one-embedding").active(n, s)
    assert model.sparsity == s


def test_relaxing_a_bound_never_raises_the_loss() -> None:
    demand = replace(EVERYTHING, max_sparsity=0.8)
    question = demand.of(ABNAR2025)
    for name in demand.bounds():
        looser = demand.relaxed(name).of(ABNAR2025)
        assert looser.loss(*looser.solve()) <= question.loss(*question.solve()) + 1e-9


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"flops": 0}, "flops = 0 has to be positive and finite"),
        ({"flops": float("nan")}, "flops = nan has to be positive and finite"),
        ({"flops": 1e21, "max_params": -1}, "max-params = -1 has to be positive"),
        ({"flops": 1e21, "max_params": 10}, "max-params = 10 has to be between 100000 and 1e"),
        ({"flops": 1e21, "max_bytes": 80, "bytes_per_param": 16}, "max-bytes / bytes-per-param = 5 has to be"),
        ({"flops": 1e21, "max_params": 1e9, "max_bytes": 1e9}, "cannot both be given"),
        ({"flops": 1e21, "max_tokens": 0}, "max-tokens = 0 has to be positive"),
        ({"flops": 1e21, "serving_tokens": -1}, "serving-tokens = -1 has to be finite and not negative"),
        ({"flops": 1e21, "max_sparsity": 1}, r"max-sparsity = 1 has to be in \[0, 1\)"),
        ({"flops": 1e21, "bytes_per_param": float("inf")}, "bytes-per-param = inf has to be positive and finite"),
    ],
)
def test_an_invalid_demand_is_rejected(fields: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Demand(**fields)


def test_serving_that_costs_more_than_the_budget_is_refused() -> None:
    with pytest.raises(InputError, match=r"serving-tokens = 1e\+25 alone cost more than flops = 1e\+20"):
        Demand(1e20, serving_tokens=1e25).of(ABNAR2025).solve()


def test_a_law_without_tokens_has_no_optimum_of_a_budget() -> None:
    with pytest.raises(InputError, match="has no optimum of a budget"):
        Demand(1e20).of(CLARK2022)
