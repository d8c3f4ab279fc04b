"""The look into a model: every number is known in models whose weights are set by hand."""

import math

import pytest
import torch

from moe_lib.config import ModelConfig
from moe_lib.model import Transformer, build_model
from moe_lib.model.anatomy import OVERALL, PER_LAYER, Anatomist

CONFIG = ModelConfig(d_model=32, n_layers=2, n_heads=2, n_experts=4, vocab_size=64, context_length=16)
ANATOMIST = Anatomist(torch.randint(64, (4, 16), generator=torch.Generator().manual_seed(0)))


def look(model: Transformer) -> dict[str, list[float]]:
    values = ANATOMIST(model)
    assert values.shape == (ANATOMIST.n_values(model.config),)
    layers = values[len(OVERALL) :].reshape(-1, len(PER_LAYER)).T.tolist()
    return dict(zip(OVERALL, [[float(value)] for value in values], strict=False)) | dict(
        zip(PER_LAYER, layers, strict=True)
    )


def test_the_stream_of_a_model_whose_layers_add_nothing_is_the_token() -> None:
    seen = look(build_model(CONFIG, seed=0, output_init=0))
    assert seen["token_share"] == pytest.approx([1, 1])
    assert seen["attention_rms"] == seen["experts_rms"] == [0, 0]


def test_what_the_layers_add_drowns_small_embeddings_and_less_so_large_ones() -> None:
    small, large = (look(build_model(CONFIG.with_(embedding_multiplier=m), seed=0)) for m in (1, 50))
    assert small["token_share"][1] < 0.2 < 0.8 < large["token_share"][1]
    assert small["attention_rms"][0] == pytest.approx(50 * large["attention_rms"][0], rel=0.05)


def test_heads_without_preference_look_at_all_of_the_past_alike() -> None:
    model = build_model(CONFIG.with_(qk_norm=False), seed=0)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight[: 2 * 32] = 0
    seen = look(model)
    assert seen["logit_std"] == [0, 0]
    assert seen["previous_token"] == pytest.approx([sum(1 / (t + 1) for t in range(1, 16)) / 15] * 2)
    assert seen["copying"] == pytest.approx([sum(1 / (t + 1) for t in range(7, 16)) / 9] * 2)


def test_repeated_rows_are_the_text_shuffled() -> None:
    rows = ANATOMIST.repeated_BT
    assert torch.equal(rows[:, :8], rows[:, 8:])
    assert torch.equal(rows[:, :8].flatten().sort().values, ANATOMIST.text_BT.flatten().sort().values)


def test_a_model_that_was_never_trained_does_not_copy() -> None:
    seen = look(build_model(CONFIG, seed=0))
    assert seen["copy_first"][0] == pytest.approx(math.log(64), abs=0.1)
    assert seen["copy_second"][0] == pytest.approx(math.log(64), abs=0.1)


def test_looking_changes_neither_weights_nor_mode() -> None:
    model = build_model(CONFIG, seed=0).train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ANATOMIST(model)
    assert model.training
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
