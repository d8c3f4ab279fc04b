"""The kernels compute what the reference computes in float64, gradients included, on any shape, to the same bits."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.model import build_model, native, reference
from moe_lib.model.routing import Routing
from moe_lib.model.transformer import rotary_table
from moe_lib.native import why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason="no C++ compiler here")

Function = Callable[..., Tensor]
small = settings(deadline=None, max_examples=20)


def assert_close(ours: Tensor, exact: Tensor, bound: float = 3e-6) -> None:
    """Within `bound` of the norm, or, if terms of order one cancel, of a number of order one for each element."""
    error = torch.linalg.vector_norm(ours.double() - exact)
    assert error <= bound * max(float(torch.linalg.vector_norm(exact)), exact.numel() ** 0.5)


def check(function: Function, exact: Function, inputs: list[Tensor]) -> None:
    """Outputs and gradients of float32 inputs against float64, twice the same bits, also without a graph."""

    def run(call: Function, dtype: torch.dtype) -> list[Tensor]:
        leaves = [value.to(dtype).requires_grad_() for value in inputs]
        y = call(*leaves)
        generator = torch.Generator().manual_seed(1)
        cotangent = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(dtype)
        return [y.detach(), *torch.autograd.grad(y, leaves, cotangent)]

    ours, again = run(function, torch.float32), run(function, torch.float32)
    for value, same, right in zip(ours, again, run(exact, torch.float64), strict=True):
        assert torch.equal(value, same)
        assert_close(value, right)
    with torch.no_grad():
        assert torch.equal(function(*inputs), ours[0])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@small
@given(st.integers(1, 130), st.integers(1, 90), st.integers(1, 90))
def test_linear_maps_of_any_shape(n: int, d: int, n_rows: int) -> None:
    check(native.linear, reference.linear, [normal(n, d), normal(n_rows, d, seed=1)])


@small
@given(st.integers(1, 70), st.integers(1, 70))
def test_norms_of_any_shape(n: int, d: int) -> None:
    check(native.norm, reference.norm, [normal(n, d), normal(d, seed=1)])


@pytest.mark.parametrize("qk_norm", [True, False])
@small
@given(st.integers(1, 3), st.integers(1, 100), st.integers(1, 3), st.integers(1, 20))
def test_attention_of_any_shape(qk_norm: bool, batch: int, length: int, heads: int, half_width: int) -> None:
    d = 2 * half_width * heads
    table = rotary_table(length, 2 * half_width, 10_000.0)
    weights = [1 + normal(d, seed=seed) / 4 for seed in (1, 2)] if qk_norm else []

    def attention(kind: Function) -> Function:
        def call(qkv: Tensor, *norms: Tensor) -> Tensor:
            return kind(qkv, *(norms or (None, None)), *(values.to(qkv.dtype) for values in table))

        return call

    check(attention(native.attention), attention(reference.attention), [normal(batch, length, 3 * d), *weights])


def test_attention_over_the_papers_context() -> None:
    table = rotary_table(2048, 8, 10_000.0)
    run = lambda kind: lambda qkv: kind(qkv, None, None, *(values.to(qkv.dtype) for values in table))  # noqa: E731
    check(run(native.attention), run(reference.attention), [normal(1, 2048, 24)])


@small
@given(st.integers(1, 150), st.integers(1, 40), st.integers(2, 300))
def test_losses_of_any_shape(n: int, d: int, vocabulary: int) -> None:
    target_N = torch.arange(n) * 7 % vocabulary
    check(
        lambda x, w: native.next_token_nll(x, w, target_N),
        lambda x, w: reference.next_token_nll(x, w, target_N),
        [normal(n, d), normal(vocabulary, d, seed=1)],
    )


@small
@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_experts_of_any_shape(n: int, d: int, f: int, n_experts: int, n_active: int, uneven: bool) -> None:
    n_active = min(n_active, n_experts)
    scores_NE = normal(n, n_experts, seed=5) * (0 if uneven else 1) + torch.arange(n_experts) * (9 if uneven else 0)
    expert_NK = scores_NE.topk(n_active, dim=-1).indices  # uneven: all tokens at the same experts, the others empty

    def experts(kind: Callable[..., Tensor]) -> Function:
        def call(x_ND: Tensor, gate_NK: Tensor, *weights: Tensor) -> Tensor:
            nothing = torch.zeros(())
            load_E = torch.bincount(expert_NK.flatten(), minlength=n_experts)
            return kind(x_ND, Routing(expert_NK, gate_NK, load_E, nothing, nothing, nothing), *weights)

        return call

    weights = [normal(n_experts, f, d, seed=seed) for seed in range(3)]
    check(experts(native.experts), experts(reference.loop), [normal(n, d), normal(n, n_active, seed=4), *weights])


@small
@given(st.integers(1, 100), st.integers(1, 12), st.integers(1, 4))
def test_routing_of_any_shape(n: int, n_experts: int, n_active: int) -> None:
    n_active = min(n_active, n_experts)

    def summary(kind: Callable[[Tensor, int], Routing]) -> Function:
        def call(logits_NE: Tensor) -> Tensor:
            routing = kind(logits_NE, n_active)
            return torch.cat([routing.gate_NK.flatten(), routing.load_balance[None], routing.router_z[None]])

        return call

    logits_NE = 2 * normal(n, n_experts)
    check(summary(native.route), summary(reference.route), [logits_NE])
    ours, exact = native.route(logits_NE, n_active), reference.route(logits_NE.double(), n_active)
    assert torch.equal(ours.expert_NK, exact.expert_NK)
    assert torch.equal(ours.load_E, exact.load_E)
    assert_close(ours.entropy, exact.entropy)


def test_of_equal_experts_the_first_are_taken() -> None:
    routing = native.route(torch.tensor([[1.0, 2.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]), 2)
    assert routing.expert_NK.tolist() == [[1, 2], [0, 1]]
    assert routing.load_E.tolist() == [1, 2, 1, 0]


def test_a_gradient_without_strides_is_read_right() -> None:
    """The gradient of a sum is one number, expanded."""
    x, w = normal(5, 6), normal(7, 6)
    for function in (native.linear, lambda x, w: native.next_token_nll(x, w, torch.arange(5))):
        leaves = [x.clone().requires_grad_(), w.clone().requires_grad_()]
        expanded = torch.autograd.grad(function(*leaves).sum(), leaves)
        y = function(*leaves)
        for ours, dense in zip(expanded, torch.autograd.grad(y, leaves, torch.ones_like(y)), strict=True):
            assert torch.equal(ours, dense)


CONFIG = ModelConfig(d_model=20, n_layers=2, n_heads=2, sparsity=0.75, vocab_size=37, context_length=41)


def test_a_graph_gives_the_same_gradients_again() -> None:
    model, tokens = build_model(CONFIG, seed=0, backend="native"), torch.randint(37, (3, 41))
    loss = model(tokens, tokens).nll_BT.mean()
    first, second = (torch.autograd.grad(loss, list(model.blocks.parameters()), retain_graph=True) for _ in range(2))
    assert all(torch.equal(ours, again) for ours, again in zip(first, second, strict=True))


def test_evaluation_gives_the_same_numbers_as_training_and_again() -> None:
    model, tokens = build_model(CONFIG, seed=0, backend="native"), torch.randint(37, (3, 29))
    with torch.no_grad():
        first, second = (model(tokens, tokens).nll_BT for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, model(tokens, tokens).nll_BT.detach())


def test_float64_goes_through_the_reference() -> None:
    tokens = torch.randint(37, (3, 41))
    ours, exact = (build_model(CONFIG, seed=0, backend=name).double()(tokens).logits_BTV for name in ("native", "loop"))
    assert ours.dtype == torch.float64
    torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, _ in build_model(CONFIG, seed=0).named_parameters()])
def test_a_weight_that_is_not_a_number_is_seen_in_the_loss(name: str) -> None:
    """A diverged run has to be noticed."""
    model, tokens = build_model(CONFIG, seed=0, backend="native"), torch.arange(37)[None]
    model.get_parameter(name).data.fill_(torch.nan)
    assert model(tokens, tokens).nll_BT.mean().isnan()
