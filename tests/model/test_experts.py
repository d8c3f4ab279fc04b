"""The experts: every back end computes what the loop computes, on any routing."""

import itertools

import pytest
import torch
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError, Notice
from moe_lib.model import BACKENDS, Router, Transformer, backends, build_model
from moe_lib.model.reference import loop
from moe_lib.model.router import Routing

D, F, E, K, N = 8, 12, 5, 2, 33


def weights(dtype: torch.dtype) -> list[Tensor]:
    return [torch.randn(E, F, D, dtype=dtype) / D**0.5 for _ in range(3)]


def routing_with(expert_NK: Tensor, gate_NK: Tensor) -> Routing:
    nothing = gate_NK.sum() * 0
    return Routing(expert_NK, gate_NK, torch.bincount(expert_NK.flatten(), minlength=E), nothing, nothing, nothing)


def random_routing(dtype: torch.dtype) -> Routing:
    expert_NK = torch.stack([torch.randperm(E)[:K] for _ in range(N)])
    return routing_with(expert_NK, torch.rand(N, K, dtype=dtype))


def uneven_routing(dtype: torch.dtype) -> Routing:
    """All tokens at the same two experts, the other three empty."""
    return routing_with(torch.tensor([[3, 1]]).expand(N, K), torch.rand(N, K, dtype=dtype))


def test_loop_has_the_right_gradient() -> None:
    torch.manual_seed(0)
    routing = random_routing(torch.float64)
    inputs = [torch.randn(N, D, dtype=torch.float64), routing.gate_NK, *weights(torch.float64)]

    def run(x_ND: Tensor, gate_NK: Tensor, *w: Tensor) -> Tensor:
        return loop(x_ND, routing_with(routing.expert_NK, gate_NK), *w)

    assert torch.autograd.gradcheck(run, [value.requires_grad_() for value in inputs])


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "loop"])
@pytest.mark.parametrize("make_routing", [random_routing, uneven_routing])
def test_back_ends_agree_with_the_loop_in_float64(backend: str, make_routing: object) -> None:
    torch.manual_seed(1)
    routing = make_routing(torch.float64)  # type: ignore[operator]
    x_ND, w, cotangent = torch.randn(N, D, dtype=torch.float64), weights(torch.float64), torch.randn(N, D)

    def outputs_and_gradients(name: str, dtype: torch.dtype) -> list[Tensor]:
        leaves = [value.to(dtype).requires_grad_() for value in (x_ND, routing.gate_NK, *w)]
        y_ND = BACKENDS[name](leaves[0], routing_with(routing.expert_NK, leaves[1]), *leaves[2:])
        return [y_ND, *torch.autograd.grad(y_ND, leaves, cotangent.to(dtype))]

    exact = outputs_and_gradients("loop", torch.float64)
    for ours, reference in zip(outputs_and_gradients(backend, torch.float32), exact, strict=True):
        assert torch.linalg.vector_norm(ours - reference) <= 1e-6 * torch.linalg.vector_norm(reference)


def test_every_token_reaches_all_its_experts() -> None:
    router = Router(D, E, K)
    routing = router(torch.randn(N, D))
    assert routing.load_E.sum() == N * K
    assert all(len(set(experts)) == K for experts in routing.expert_NK.tolist())


def test_gates_are_the_largest_probabilities_and_not_renormalised() -> None:
    router, x_ND = Router(D, E, K), torch.randn(N, D)
    expected = router.layer(x_ND).softmax(dim=-1).sort(dim=-1, descending=True).values[:, :K]
    torch.testing.assert_close(router(x_ND).gate_NK, expected)
    assert (expected.sum(dim=-1) < 1).all()


def test_even_loads_give_a_load_balancing_loss_of_one() -> None:
    router = Router(E, E, 1)
    torch.nn.init.eye_(router.layer.weight)
    assert router(torch.eye(E)).load_balance.item() == pytest.approx(1, abs=1e-6)


def test_one_expert_is_the_dense_model() -> None:
    model = build_model(ModelConfig(d_model=8, n_layers=1, n_heads=2, vocab_size=11, context_length=6), seed=0)
    x_BTD = torch.randn(2, 6, 8)
    moe = model.blocks[0].moe  # type: ignore[union-attr]
    mlp = moe.experts.mlp  # type: ignore[union-attr]
    dense = (torch.nn.functional.silu(x_BTD @ mlp.w1.mT) * (x_BTD @ mlp.v1.mT)) @ mlp.w2  # type: ignore[union-attr]
    torch.testing.assert_close(moe(x_BTD.flatten(0, 1))[0], dense.flatten(0, 1))  # type: ignore[operator]


@pytest.mark.parametrize(("d_model", "granularity", "d_expert"), [(6, 1, 24), (36, 1, 144), (12, 16, 3), (24, 12, 8)])
def test_grouped_mm_refuses_the_widths_that_torch_does_not_take_and_is_replaced_if_it_is_the_default(
    d_model: int, granularity: int, d_expert: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "default_backend", lambda device: "grouped_mm")
    config = ModelConfig(d_model=d_model, n_layers=1, n_heads=1, n_experts=16, n_experts_active=2,
                         granularity=granularity, vocab_size=11, context_length=6)  # fmt: skip
    tokens_BT = torch.randint(11, (2, 6))
    if d_model % 4 == 0 and d_expert % 4 == 0:
        model = build_model(config, seed=0)
        assert model.backend == "grouped_mm"
    else:
        with pytest.raises(InputError, match=rf"needs multiples of 4, .* d_model = {d_model} and .* = {d_expert}$"):
            Transformer(config, backend="grouped_mm")
        with pytest.warns(Notice, match="loop is used, which is slower"):
            model = build_model(config, seed=0)
        assert model.backend == "loop"
    model(tokens_BT, tokens_BT).nll_BT.mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize(("dtype", "multiple"), [(torch.float32, 4), (torch.bfloat16, 8)])
def test_torch_takes_the_documented_widths(dtype: torch.dtype, multiple: int) -> None:
    for width, height in itertools.product((4, 6, 8, 12), repeat=2):
        routing = random_routing(dtype)
        w = [torch.randn(E, height, width, dtype=dtype) for _ in range(3)]
        if width % multiple == 0 and height % multiple == 0:
            assert BACKENDS["grouped_mm"](torch.randn(N, width, dtype=dtype), routing, *w, False).isfinite().all()
        else:
            with pytest.raises(RuntimeError, match="multiple of 16 bytes"):
                BACKENDS["grouped_mm"](torch.randn(N, width, dtype=dtype), routing, *w, False)


def test_a_model_on_another_device_than_the_cpu_is_not_computed_by_the_kernels() -> None:
    config = ModelConfig(d_model=8, n_layers=1, n_heads=2)
    with torch.device("meta"):
        assert Transformer(config).backend == "grouped_mm"
    assert Transformer(config).backend == backends.default_backend(torch.device("cpu"))


def test_unknown_back_end_is_refused() -> None:
    with pytest.raises(InputError, match=r"backend = 'magic' has to be one of loop, grouped_mm, native"):
        Transformer(ModelConfig(d_model=8, n_layers=1, n_heads=2), backend="magic")
