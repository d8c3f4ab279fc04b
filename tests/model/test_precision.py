"""Products with inputs rounded to bfloat16: every back end rounds the same numbers, forwards and backwards."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from moe_lib.config import ModelConfig, RunConfig, TrainingConfig
from moe_lib.errors import InputError
from moe_lib.model import BACKENDS, build_model, native, reference
from moe_lib.model.experts import make_layer
from moe_lib.model.routing import Routing
from moe_lib.native import why_not

Function = Callable[..., Tensor]
needs_kernels = pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here")
small = settings(deadline=None, max_examples=20)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def bf16(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)


def outputs_and_gradients(function: Function, inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    leaves = [value.to(dtype).requires_grad_() for value in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, normal(*y.shape, seed=9).to(dtype))]


def assert_same(function: Function, exact: Function, inputs: list[Tensor], flips: float) -> None:
    """Float32 against float64. Where a product's input was computed, its last bit may round it to the other neighbour,
    1/256 away: about `flips` of all numbers are allowed to, and always the largest one, times the largest row."""
    ours, right = (
        outputs_and_gradients(kind, inputs, dtype)
        for kind, dtype in ((function, torch.float32), (exact, torch.float64))
    )
    largest_row = max(float(torch.linalg.vector_norm(value.detach(), dim=-1).max()) for value in inputs)
    one_flip = float(normal(*right[0].shape, seed=9).abs().max()) * largest_row / 256 if flips else 0.0
    for value, expected in zip(ours, right, strict=True):
        size = max(float(torch.linalg.vector_norm(expected)), expected.numel() ** 0.5)
        error = float(torch.linalg.vector_norm(value.double() - expected))
        assert error <= (3e-6 + flips / expected.numel() ** 0.5) * size + one_flip


def test_a_rounded_product_rounds_inputs_and_the_gradient_and_nothing_else() -> None:
    x, w = normal(70, 33), normal(29, 33, seed=1)
    y, dx, dw = outputs_and_gradients(lambda x, w: reference.linear(x, w, rounded=True), [x, w], torch.float64)
    x, w, dy = (bf16(value.double()) for value in (x, w, normal(70, 29, seed=9)))
    for value, expected in ((y, x @ w.mT), (dx, dy @ w), (dw, dy.mT @ x)):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    assert not torch.equal(y, bf16(y))


@needs_kernels
@small
@given(st.integers(1, 300), st.integers(1, 90), st.integers(1, 90))
def test_linear_maps_of_any_shape(n: int, d: int, n_rows: int) -> None:
    ours, exact = (lambda x, w, kind=kind: kind.linear(x, w, True) for kind in (native, reference))
    assert_same(ours, exact, [normal(n, d), normal(n_rows, d, seed=1)], flips=0)


@needs_kernels
def test_numbers_round_to_the_nearest_with_ties_to_even() -> None:
    one = torch.tensor([1.0])
    steps = torch.arange(-600, 600) / 1024
    for x in (1 + steps, -1e30 * (1 + steps), 3e38 + 1e36 * steps, torch.tensor([torch.inf, -torch.inf, 0.0, -0.0])):
        assert torch.equal(native.linear(x[:, None], one[None], True)[:, 0], bf16(x))
    assert native.linear(torch.tensor([[torch.nan]]), one[None], True).isnan().all()


@needs_kernels
@small
@given(st.integers(1, 150), st.integers(1, 40), st.integers(2, 300))
@example(122, 35, 122)  # one gradient of a logit, a large one, rounds to the other neighbour
def test_losses_of_any_shape(n: int, d: int, vocabulary: int) -> None:
    target_N = torch.arange(n) * 7 % vocabulary
    ours, exact = (lambda x, w, kind=kind: kind.next_token_nll(x, w, target_N, True) for kind in (native, reference))
    assert_same(ours, exact, [normal(n, d), normal(vocabulary, d, seed=1)], flips=0.01)


@pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_kernels), "grouped_mm"])
@pytest.mark.parametrize("uneven", [False, True])
@small
@given(st.integers(1, 200), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(1, 4))
def test_experts_of_any_shape(backend: str, uneven: bool, n: int, d: int, f: int, n_experts: int, k: int) -> None:
    d, f, k = 4 * d, 4 * f, min(k, n_experts)  # grouped_mm asks for rows of 16 bytes
    scores_NE = normal(n, n_experts, seed=5) * (not uneven) + 9.0 * torch.arange(n_experts) * uneven
    expert_NK = scores_NE.topk(k, dim=-1).indices  # uneven: all tokens at the same experts, the others empty

    def experts(kind: Callable[..., Tensor]) -> Function:
        def call(x_ND: Tensor, gate_NK: Tensor, *weights: Tensor) -> Tensor:
            load_E, nothing = torch.bincount(expert_NK.flatten(), minlength=n_experts), torch.zeros(())
            return kind(x_ND, Routing(expert_NK, gate_NK, load_E, nothing, nothing, nothing), *weights, True)

        return call

    weights = [normal(n_experts, f, d, seed=seed) for seed in range(3)]
    inputs = [normal(n, d), normal(n, k, seed=4), *weights]
    assert_same(experts(BACKENDS[backend]), experts(reference.loop), inputs, flips=0.03 * d**0.5)


CONFIG = ModelConfig(d_model=64, n_layers=2, n_heads=2, sparsity=0.75, vocab_size=97, context_length=41)


def loss_and_gradients(precision: str, backend: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    model = build_model(CONFIG, 0, backend, precision=precision).to(dtype)  # type: ignore[arg-type]
    tokens = torch.randint(97, (3, 41), generator=torch.Generator().manual_seed(1))
    loss = model(tokens, tokens).nll_BT.mean()
    return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]


@needs_kernels
def test_a_model_is_ten_times_nearer_to_the_rounded_reference_than_to_float32() -> None:
    ours, rounded, exact = (
        torch.cat([value.flatten().double() for value in loss_and_gradients(*which)])
        for which in (("bfloat16", "native"), ("bfloat16", "loop"), ("float32", "loop", torch.float64))
    )
    assert 10 * torch.linalg.vector_norm(ours - rounded) < torch.linalg.vector_norm(ours - exact)
    assert torch.linalg.vector_norm(ours - exact) < 0.1 * torch.linalg.vector_norm(exact)


@pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_kernels), "grouped_mm", "loop"])
def test_evaluation_and_the_router_stay_in_float32(backend: str) -> None:
    tokens = torch.randint(97, (3, 41), generator=torch.Generator().manual_seed(1))
    plain, rounded = (build_model(CONFIG, 0, backend, precision=name) for name in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert not torch.equal(plain(tokens, tokens).nll_BT, rounded(tokens, tokens).nll_BT)
    assert torch.equal(plain.eval()(tokens, tokens).nll_BT, rounded.eval()(tokens, tokens).nll_BT)
    x_ND, moe = normal(9, 64), [model.train().blocks[0].moe for model in (plain, rounded)]
    assert torch.equal(*(layer.router(x_ND).gate_NK for layer in moe))  # type: ignore[operator, union-attr]


def test_a_runs_key_depends_on_the_precision_and_float32_is_the_default() -> None:
    keys = [
        RunConfig(model=CONFIG, training=TrainingConfig(flops=1e12, **fields)).key
        for fields in ({}, {"precision": "float32"}, {"precision": "bfloat16"})
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_precision_that_is_not_here_is_refused() -> None:
    with pytest.raises(InputError, match="precision = 'float16' is not allowed"):
        TrainingConfig(flops=1, precision="float16")  # type: ignore[arg-type]


def test_megablocks_keeps_its_own_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moe_lib.model.backends.problem_of", lambda backend: None)
    with pytest.raises(InputError, match="precision = 'bfloat16' is not for backend = 'megablocks'"):
        make_layer(CONFIG, "megablocks", "bfloat16")
