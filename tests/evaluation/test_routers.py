"""What is recorded of routers: loads that sum to one, experts that nobody chose, and the entropy of a router."""

import numpy as np
import pytest
import torch
from tests.evaluation.models import Guesser

from moe_lib.config import ModelConfig
from moe_lib.evaluation.routers import router_statistics
from moe_lib.model import build_model

TOKENS = np.random.default_rng(0).integers(0, 64, 2_000).astype(np.uint16)


def a_model(n_experts: int = 4) -> torch.nn.Module:
    config = ModelConfig(
        d_model=16, n_layers=2, n_heads=2, n_experts=n_experts, n_experts_active=1, vocab_size=64, context_length=32
    )
    return build_model(config, seed=0).eval()


def test_loads_sum_to_one_and_the_entropy_is_that_of_the_probabilities() -> None:
    model = a_model()
    found = router_statistics(model, TOKENS)
    assert found is not None
    assert np.sum(found["load"], axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert all(0 < entropy <= np.log(4) for entropy in found["entropy"])
    whole = torch.from_numpy(TOKENS[: 2_000 // 32 * 32].astype(np.int64)).view(-1, 32)
    with torch.no_grad():
        routings = model(whole).routings
    assert found["entropy"] == pytest.approx([float(routing.entropy) for routing in routings], rel=1e-4)
    assert found["load"][0] == pytest.approx((routings[0].load_E / routings[0].load_E.sum()).tolist(), abs=1e-5)


def test_layers_that_are_passed_several_times_have_an_entry_for_each_pass() -> None:
    twice = build_model(a_model().config.with_(layer_repeats=2), seed=0).eval()
    found = router_statistics(twice, TOKENS)
    assert found is not None
    assert [len(found[name]) for name in ("load", "n_dead", "entropy")] == [4, 4, 4]
    assert found["load"][0] != found["load"][2]


def test_experts_that_no_token_chose_are_counted() -> None:
    model = a_model()
    with torch.no_grad():
        model.blocks[1].moe.router.layer.weight.zero_()  # all alike: the first is chosen
    found = router_statistics(model, TOKENS)
    assert found is not None
    assert found["n_dead"] == [0, 3]
    assert found["entropy"][1] == pytest.approx(np.log(4), rel=1e-4)


def test_who_does_not_route_has_no_statistics() -> None:
    assert router_statistics(a_model(n_experts=1), TOKENS) is None
    assert router_statistics(Guesser(64), TOKENS) is None
    assert router_statistics(a_model(), TOKENS[:10]) is None
