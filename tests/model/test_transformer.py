"""The Transformer: built as counted, causal, and alike on every back end."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from moe_lib.accounting import FLOPS_PER_ROUTER_WEIGHT, count_flops, count_parameters
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.model import build_model

SMALL = {"d_model": 16, "n_layers": 2, "n_heads": 2, "vocab_size": 37, "context_length": 12}

models = st.builds(
    lambda head, heads, layers, experts, active, granularity, tied, qk_norm, qk_bias: ModelConfig(
        d_model=2 * head * heads * granularity,
        n_layers=layers,
        n_heads=heads,
        n_experts=max(experts, active),
        n_experts_active=active,
        granularity=granularity,
        vocab_size=37,
        context_length=12,
        tied_embeddings=tied,
        qk_norm=qk_norm,
        qk_bias=qk_bias,
    ),
    *[st.integers(1, 3)] * 3,
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@settings(deadline=None, max_examples=25)
@given(models)
def test_built_model_has_the_counted_number_of_weights(config: ModelConfig) -> None:
    assert sum(weight.numel() for weight in build_model(config, seed=0).parameters()) == count_parameters(config).total


@pytest.mark.parametrize("sparsity", [0, 0.25, 0.75])
def test_counted_flops_are_what_an_operator_counter_sees(sparsity: float) -> None:
    """Exact but for the router: 14 FLOPs a weight are counted, 6 of which are products, the rest routing."""
    config = ModelConfig(**SMALL | {"d_model": 24, "sparsity": sparsity})
    model = build_model(config, seed=0, backend="loop")
    tokens = torch.randint(config.vocab_size, (3, config.context_length))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        output = model(tokens, tokens)
        (output.nll_BT.mean() + output.load_balance).backward()
    counted = count_flops(config)
    router_products = counted.router * 6 // FLOPS_PER_ROUTER_WEIGHT
    assert counter.get_total_flops() == tokens.numel() * (counted.eq9 + router_products)


@pytest.mark.parametrize("sparsity", [0, 0.25, 0.9])
def test_back_ends_agree_from_tokens_to_gradients(sparsity: float) -> None:
    config = ModelConfig(**SMALL | {"d_model": 24, "sparsity": sparsity})
    tokens = torch.randint(config.vocab_size, (3, config.context_length))
    losses, gradients = [], []
    for backend, dtype in (("loop", torch.float64), ("grouped_mm", torch.float32), ("native", torch.float32)):
        model = build_model(config, seed=0, backend=backend).to(dtype)
        output = model(tokens, tokens)
        loss = output.nll_BT.mean() + 0.02 * output.load_balance + 1e-3 * output.router_z
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([w.grad.flatten().double() for w in model.parameters() if w.grad is not None]))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
    for gradient in gradients[1:]:
        assert torch.linalg.vector_norm(gradient - gradients[0]) < 1e-5 * torch.linalg.vector_norm(gradients[0])


def test_a_later_token_does_not_change_an_earlier_logit() -> None:
    model = build_model(ModelConfig(**SMALL, sparsity=0.75), seed=0)
    tokens = torch.randint(37, (1, 12))
    changed = tokens.clone()
    changed[0, 7] = (changed[0, 7] + 1) % 37
    before, after = model(tokens).logits_BTV, model(changed).logits_BTV
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_rotary_positions_depend_on_distance_only() -> None:
    from moe_lib.model.reference import rotate
    from moe_lib.model.transformer import rotary_table

    cos_TW, sin_TW = rotary_table(20, 8, 10_000.0)
    q, k = torch.randn(2, 1, 1, 1, 8)
    scores = rotate(q.expand(1, 1, 20, 8), cos_TW, sin_TW) @ rotate(k.expand(1, 1, 20, 8), cos_TW, sin_TW).mT
    torch.testing.assert_close(scores[0, 0, 5, 2], scores[0, 0, 18, 15])


def test_a_fresh_model_knows_nothing() -> None:
    model = build_model(ModelConfig(d_model=32, n_layers=2, n_heads=2, vocab_size=500, sparsity=0.75), seed=3)
    tokens = torch.randint(500, (4, 256))
    nll = model(tokens, torch.randint(500, (4, 256))).nll_BT
    assert nll.mean().item() == pytest.approx(math.log(500), abs=0.1)
    assert nll.dtype == torch.float32


def test_weights_follow_from_the_seed_alone() -> None:
    config = ModelConfig(**SMALL, sparsity=0.75)
    first, second = (build_model(config, seed=5, backend=name).state_dict() for name in ("loop", "grouped_mm"))
    torch.manual_seed(99)
    other = build_model(config, seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_too_long_a_sequence_is_refused() -> None:
    with pytest.raises(InputError, match="13 tokens do not fit into context_length = 12"):
        build_model(ModelConfig(**SMALL), seed=0)(torch.zeros(1, 13, dtype=torch.int64))
