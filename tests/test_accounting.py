"""Counts: the paper's formulas, worked by hand; tests/model compares them with a built model."""

import pytest

from moe_lib.accounting import count_flops, count_parameters, tokens_for_budget
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError

PAPER = {"n_heads": 8, "vocab_size": 50_432, "context_length": 2048, "tied_embeddings": False}


def shape(d_model: int, sparsity: float) -> ModelConfig:
    return ModelConfig(d_model=d_model, n_layers=d_model // 64, sparsity=sparsity, **PAPER)


def test_flops_of_a_small_model_by_hand() -> None:
    model = ModelConfig(d_model=2, n_layers=3, n_heads=1, n_experts=5, n_experts_active=2, granularity=4,
                        vocab_size=7, context_length=11)  # fmt: skip
    count = count_flops(model)
    assert count.attention_projections == 3 * 4 * 6 * 2**2
    assert count.attention_scores == 3 * 2 * 6 * 2 * 11
    assert count.experts == 3 * 12 * 6 * 2 * 2**2 // 4
    assert count.router == 3 * 14 * 2 * 5
    assert count.unembedding == 6 * 7 * 2
    assert count.total == count.eq9 + count.router == 288 + 792 + 432 + 84 + 420


@pytest.mark.parametrize("sparsity", [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98])
def test_eq9_is_the_closed_form_of_the_paper(sparsity: float) -> None:
    model = shape(960, sparsity)
    d, layers = model.d_model, model.n_layers
    eq9 = 6 * layers * d**2 * (
        4 + 2 * 2048 / d + 12 * model.n_experts_active / model.granularity + 50_432 / (d * layers)
    )  # fmt: skip
    assert count_flops(model).eq9 == pytest.approx(eq9, rel=1e-12)


def test_flops_per_token_depend_on_sparsity_only_through_the_router() -> None:
    counts = [count_flops(shape(512, sparsity)) for sparsity in (0, 0.5, 0.98)]
    assert len({count.eq9 for count in counts}) == 1
    assert counts[0].router < counts[1].router < counts[2].router


def test_sparsity_alone_does_not_give_the_active_parameters() -> None:
    """Attention and embeddings stay dense, so N_a/N is far above 1 - S in small models."""
    shares = []
    for d_model in (512, 2048):
        count = count_parameters(shape(d_model, 0.98))
        shares.append(count.active / count.total)
    assert shares[0] > shares[1] > 1 - 0.98


def test_conventions_of_active_parameters_are_ordered() -> None:
    count = count_parameters(shape(512, 0.98))
    ideal, one, two = (count.active_under(name) for name in ("ideal", "one-embedding", "two-embeddings"))
    assert ideal == pytest.approx(0.02 * count.total)
    assert ideal < one < two == count.active
    assert two - one == 50_432 * 512


def test_tied_embeddings_are_counted_once() -> None:
    untied = shape(512, 0.9)
    tied = untied.with_(tied_embeddings=True)
    assert count_parameters(untied).total - count_parameters(tied).total == 50_432 * 512
    assert count_flops(untied) == count_flops(tied)


def test_tokens_spend_the_budget_exactly() -> None:
    model = shape(256, 0.95)
    assert tokens_for_budget(model, 1e18) * count_flops(model).total == pytest.approx(1e18)


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(InputError, match="has to be one of ideal, one-embedding, two-embeddings"):
        count_parameters(shape(512, 0.9)).active_under("three")  # type: ignore[arg-type]
