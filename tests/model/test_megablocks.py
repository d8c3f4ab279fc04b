"""The adapter to MegaBlocks: held to recorded facts of its source, and run against a stand-in of its layout; on a
machine with CUDA and megablocks, against the real one."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import make_dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.model import MixtureOfExperts, Transformer, build_model, megablocks
from moe_lib.model.reference import glu

FACTS = json.loads((Path(__file__).parent / "megablocks-0.10.0.json").read_text())
MODEL = ModelConfig(d_model=16, n_layers=3, n_heads=2, n_experts=6, n_experts_active=2, granularity=2, vocab_size=31,
                    context_length=8)  # fmt: skip


def test_every_field_that_is_passed_is_one_of_its_arguments() -> None:
    assert FACTS["source"] == "megablocks-0.10.0.tar.gz"
    types = {name: kind for name, kind, _ in FACTS["Arguments"]}
    for name, value in megablocks.arguments(MODEL).items():
        kind = types[name]  # a KeyError here is a field that it does not have
        if value is None:
            assert "Optional" in kind, name
        elif re.match(r"(int|bool|float|str)$", kind):
            assert type(value).__name__ == kind, name
        elif callable(value):
            assert "Callable" in kind or kind == "InitFn", name
        else:
            assert isinstance(value, torch.device), name


def test_every_field_that_changes_the_computation_is_passed() -> None:
    """What is left at its default does not touch a layer on one device: parallelism, benchmarking, shared experts."""
    left = {name for name, _, _ in FACTS["Arguments"]} - megablocks.arguments(MODEL).keys()
    assert left == {
        *("moe_capacity_factor", "moe_expert_model_parallelism", "expert_parallel_group"),
        *("pipeline_model_parallel_size", "num_layers_per_virtual_pipeline_stage", "uniform_expert_assignment"),
        *("shared_expert", "fc_cls", "fc_kwargs", "remat_act_fn", "shared_expert_hidden_size"),
        "shared_expert_weighted_sum",
    }


def test_the_functions_that_are_called_are_there() -> None:
    called = {
        "dmoe": {"dMoE"},
        "moe": {"clear_load_balancing_loss", "batched_load_balancing_loss"},
        "router": {"clear_router_zloss", "batched_router_zloss"},
    }
    assert all(names <= set(FACTS["names"][module]) for module, names in called.items())


class StandIn:
    """MegaBlocks' modules in plain PyTorch: its names, its layout, its global lists; its `Arguments` by the facts."""

    def __init__(self) -> None:
        self.load_balancing: list[tuple[Tensor, Tensor]] = []
        self.logits: list[Tensor] = []
        self.Arguments = make_dataclass("Arguments", [(name, Any, None) for name, _, _ in FACTS["Arguments"]])

    def modules(self, package: str) -> dict[str, ModuleType]:
        contents = {
            package.partition(".")[0]: {},
            package: {},
            f"{package}.arguments": {"Arguments": self.Arguments},
            f"{package}.dmoe": {"dMoE": self.dMoE},
            f"{package}.moe": {
                "clear_load_balancing_loss": self.load_balancing.clear,
                "batched_load_balancing_loss": self.batched_load_balancing_loss,
            },
            f"{package}.router": {
                "clear_router_zloss": self.logits.clear,
                "batched_router_zloss": self.batched_router_zloss,
            },
        }
        modules = {}
        for name, content in contents.items():
            modules[name] = ModuleType(name)
            vars(modules[name]).update(content)
        return modules

    def batched_load_balancing_loss(self, args: Any) -> Tensor:
        assert len(self.load_balancing) == args.num_layers, "it demands exactly as many entries as layers"
        [(load_E, scores_NE)] = self.load_balancing
        scale = args.moe_num_experts * args.moe_loss_weight / (len(scores_NE) * args.moe_top_k)
        return scale * torch.dot(load_E.float(), scores_NE.float().mean(dim=0))

    def batched_router_zloss(self, args: Any) -> Tensor:
        losses = [torch.logsumexp(logits.float(), dim=1).square().mean() for logits in self.logits]
        return args.moe_zloss_weight * torch.stack(losses)

    def dMoE(self, args: Any) -> nn.Module:
        stand_in = self

        class Router(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(args.hidden_size, args.moe_num_experts, bias=False, device=args.device)

            def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                logits = self.layer(x)
                stand_in.logits.append(logits)  # in evaluation, too
                scores = logits.softmax(dim=-1)
                return scores, *torch.topk(scores, args.moe_top_k, dim=-1)

        class Experts(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                rows = args.moe_num_experts * args.ffn_hidden_size
                self.args, self.mlp = args, nn.Module()
                for name in ("w1", "v1", "w2"):
                    setattr(self.mlp, name, nn.Parameter(torch.empty(rows, args.hidden_size)))
                    args.init_method(getattr(self.mlp, name))

            def forward(self, x: Tensor, scores: Tensor, gate_NK: Tensor, expert_NK: Tensor) -> Tensor:
                load_E = torch.bincount(expert_NK.flatten(), minlength=args.moe_num_experts)
                if self.training and args.moe_loss_weight > 0:
                    stand_in.load_balancing.append((load_E, scores))
                weights = [w.view(args.moe_num_experts, -1, args.hidden_size) for w in self.mlp.parameters()]
                gate_NE = torch.zeros_like(scores).scatter(1, expert_NK, gate_NK)
                outputs = (glu(x, gate_NE[:, e], *(w[e] for w in weights), False) for e in range(args.moe_num_experts))
                return torch.stack(list(outputs)).sum(dim=0)

        layer = nn.Module()
        layer.router, layer.experts = Router(), Experts()
        return layer


@pytest.fixture(params=["megablocks.layers", "megablocks_of_the_hub._layers"])
def stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """MegaBlocks as PyPI's package, and as the hub's, which `kernels` loads under a name of its own."""
    found = StandIn()
    for name, module in found.modules(request.param).items():
        monkeypatch.setitem(sys.modules, name, module)
    of_pypi = request.param == "megablocks.layers"
    monkeypatch.setitem(sys.modules, "grouped_gemm", ModuleType("grouped_gemm") if of_pypi else None)
    kernels = ModuleType("kernels")
    kernels.__spec__ = ModuleSpec("kernels", None)
    kernels.get_kernel = lambda name, version: sys.modules["megablocks_of_the_hub"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kernels", kernels)
    monkeypatch.setattr(megablocks, "why_not", lambda: None)
    megablocks.layers.cache_clear()
    yield found
    megablocks.layers.cache_clear()


def test_weights_go_to_our_reference_and_back_strictly(stand_in: StandIn) -> None:
    theirs, ours = megablocks.MegablocksExperts(MODEL), MixtureOfExperts(MODEL, "loop")
    assert list(theirs.state_dict()) == ["router.layer.weight", *(f"experts.mlp.{name}" for name in ("w1", "v1", "w2"))]
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)


def test_a_model_starts_with_the_same_weights_and_computes_the_same(stand_in: StandIn) -> None:
    theirs, ours = build_model(MODEL, 3, "megablocks"), build_model(MODEL, 3, "loop")
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    tokens = torch.randint(31, (4, 9), generator=torch.Generator().manual_seed(0))
    outputs = [model(tokens[:, :-1], tokens[:, 1:]) for model in (theirs, ours)]
    (a, b) = outputs
    assert (a.nll_BT - b.nll_BT).abs().max() < 0.05  # bfloat16 beside float32
    assert a.load_balance.item() == pytest.approx(b.load_balance.item(), rel=0.02)
    assert a.router_z.item() == pytest.approx(b.router_z.item(), rel=0.02)
    (a.nll_BT.mean() + a.load_balance + a.router_z).backward()
    assert all(weight.grad is not None for weight in theirs.parameters())


def test_nothing_leaks_from_one_step_or_from_evaluation_into_the_next(stand_in: StandIn) -> None:
    model = Transformer(MODEL, "megablocks")
    tokens = torch.zeros(1, 8, dtype=torch.int64)
    for mode in (model.train(), model.eval(), model.train()):
        output = mode(tokens)
        assert torch.isfinite(output.load_balance)
        assert stand_in.load_balancing == []
        assert stand_in.logits == []
    stand_in.logits.append(torch.ones(1))  # as somebody else's failed step would leave it
    with pytest.raises(RuntimeError):
        model.blocks[0].moe(torch.ones(3, 5))
    assert stand_in.logits == []


def test_without_cuda_it_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    megablocks.why_not.cache_clear()
    with pytest.raises(InputError, match="backend = 'megablocks' needs a CUDA device, and torch finds none"):
        Transformer(MODEL, "megablocks")


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True))
    monkeypatch.setitem(sys.modules, "grouped_gemm", None)
    monkeypatch.setattr(megablocks, "find_spec", lambda name: None)
    megablocks.layers.cache_clear()
    megablocks.why_not.cache_clear()
    problem = megablocks.why_not()
    megablocks.why_not.cache_clear()
    assert problem is not None
    assert "pip install kernels, or: pip install --no-build-isolation" in problem
    assert "\n" not in problem


@pytest.mark.gpu
def test_the_real_one_computes_what_our_reference_computes() -> None:
    if problem := megablocks.why_not():
        pytest.skip(problem)
    model = MODEL.with_(d_model=128, granularity=2)
    torch.manual_seed(0)
    ours = MixtureOfExperts(model, "loop")
    theirs = megablocks.MegablocksExperts(model)
    nn.init.normal_(ours.router.layer.weight, std=0.1)
    for weight in ours.experts.parameters():
        nn.init.normal_(weight, std=0.05)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x_ND = torch.randn(512, 128)
    expected, routing = ours(x_ND)
    found, their_routing = theirs.cuda()(x_ND.cuda().requires_grad_())
    same = (their_routing.expert_NK.cpu().sort().values == routing.expert_NK.sort().values).all(dim=1)
    assert same.float().mean() > 0.95  # bfloat16 turns close decisions round
    error = torch.linalg.vector_norm((found.cpu() - expected)[same]) / torch.linalg.vector_norm(expected[same])
    assert error < 0.02
    assert their_routing.load_balance.item() == pytest.approx(routing.load_balance.item(), rel=0.02)
    assert their_routing.router_z.item() == pytest.approx(routing.router_z.item(), rel=0.02)
    found.square().mean().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in theirs.experts.parameters())
