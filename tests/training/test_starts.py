"""How training starts: experts apart or alike, gates plain or scaled, a router at a rate of its own."""

from pathlib import Path

import pytest
import torch

from moe_lib.config import ModelConfig, RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.model import build_model
from moe_lib.model.router import gate_scale
from moe_lib.training import save_run, train
from moe_lib.training.export import export_run

MODEL = ModelConfig(d_model=32, n_layers=2, n_heads=2, n_experts=8, vocab_size=300, context_length=64)


@pytest.mark.parametrize("spread", [1.0, 0.3])
def test_experts_start_as_far_apart_as_said_and_no_larger(spread: float) -> None:
    first, *others = build_model(MODEL, seed=0, expert_spread=spread).blocks[0].moe.experts.mlp.by_expert()[0].detach()
    for other in others:
        correlation = torch.corrcoef(torch.stack([first.flatten(), other.flatten()]))[0, 1]
        assert float(correlation) == pytest.approx((1 - spread**2) ** 0.5, abs=0.05)
        assert float(other.std()) == pytest.approx(float(first.std()), rel=0.05)


@pytest.mark.parametrize(("n_experts", "n_experts_active"), [(8, 1), (50, 1), (4, 3), (1, 1)])
def test_scaled_gates_sum_to_about_one_at_the_start(n_experts: int, n_experts_active: int) -> None:
    model = MODEL.with_(n_experts=n_experts, n_experts_active=n_experts_active, scaled_gates=True)
    built = build_model(model, seed=0)
    gate_NK = built(torch.randint(0, 300, (16, 64))).routings[0].gate_NK
    assert float(gate_NK.detach().sum(dim=1).mean()) * gate_scale(model) == pytest.approx(1, abs=0.15)


def test_scaled_gates_scale_what_the_experts_give() -> None:
    x_ND = torch.randn(20, 32)
    plain, scaled = (build_model(MODEL.with_(scaled_gates=on), seed=0).blocks[0].moe for on in (False, True))
    assert torch.allclose(scaled(x_ND)[0], plain(x_ND)[0] * gate_scale(MODEL.with_(scaled_gates=True)), atol=1e-6)


def test_a_router_of_its_own_rate_moves_less_and_all_else_the_same(
    small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    one_step = small_run.training.with_(flops=1.0, warmup_fraction=0.0)
    start = build_model(small_run.model, one_step.seed)
    moved = {}
    for rate in (1.0, 0.25):
        trained = train(small_run.with_(training=one_step.with_(router_rate=rate)), small_corpus).model
        moved[rate] = {
            name: float((after - before).detach().norm())
            for (name, before), after in zip(start.named_parameters(), trained.parameters(), strict=True)
        }
    for name in moved[1.0]:
        ratio = 0.25 if ".router." in name else 1.0
        assert moved[0.25][name] == pytest.approx(ratio * moved[1.0][name], rel=1e-3)


def test_scaled_gates_survive_the_export(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    run = small_run.with_(model=small_run.model.with_(scaled_gates=True))
    model = build_model(run.model, seed=0).eval()
    save_run(tmp_path / "run", run, model, small_corpus)
    export_run(tmp_path / "run", tmp_path / "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    tokens_BT = torch.randint(0, 300, (2, 32))
    with torch.no_grad():
        assert torch.allclose(theirs(tokens_BT).logits, model(tokens_BT).logits_BTV, atol=1e-4)
