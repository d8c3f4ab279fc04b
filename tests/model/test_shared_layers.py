"""Layers passed more than once: the same weights, more FLOPs, sparsity below zero."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from moe_lib.accounting import FLOPS_PER_ROUTER_WEIGHT, count_flops, count_parameters
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.model import build_model
from moe_lib.model.huggingface import to_huggingface

ONCE = ModelConfig(d_model=24, n_layers=1, n_heads=2, vocab_size=37, context_length=12)
TWICE = ONCE.with_(layer_repeats=2)
STACKED = ONCE.with_(n_layers=2)


def test_repeats_leave_the_weights_alone_and_make_sparsity_negative() -> None:
    assert count_parameters(TWICE).total == count_parameters(ONCE).total
    assert sum(weight.numel() for weight in build_model(TWICE, seed=0).parameters()) == count_parameters(TWICE).total
    assert (ONCE.sparsity, TWICE.sparsity) == (0, -1)


def test_active_parameters_and_flops_are_those_of_the_deeper_model() -> None:
    assert count_parameters(TWICE).active == count_parameters(STACKED).active
    assert count_flops(TWICE) == count_flops(STACKED)


def test_counted_flops_are_what_an_operator_counter_sees() -> None:
    tokens = torch.randint(37, (3, 12))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        output = build_model(TWICE, seed=0, backend="loop")(tokens, tokens)
        (output.nll_BT.mean() + output.load_balance).backward()
    counted = count_flops(TWICE)
    router_products = counted.router * 6 // FLOPS_PER_ROUTER_WEIGHT
    assert counter.get_total_flops() == tokens.numel() * (counted.eq9 + router_products)


def test_a_repeated_layer_computes_what_two_copies_of_it_compute() -> None:
    shared, stacked = build_model(TWICE, seed=0), build_model(STACKED, seed=1)
    weights = shared.state_dict()
    copies = {name.replace("blocks.0", "blocks.1"): weight for name, weight in weights.items() if "blocks.0" in name}
    stacked.load_state_dict(weights | copies)
    tokens = torch.randint(37, (2, 12))
    torch.testing.assert_close(shared(tokens).logits_BTV, stacked(tokens).logits_BTV)
    assert len(shared(tokens).routings) == 2


def test_shared_layers_cannot_be_exported() -> None:
    with pytest.raises(InputError, match="layer_repeats = 2 cannot be exported"):
        to_huggingface(build_model(TWICE, seed=0))
