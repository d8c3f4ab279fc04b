"""Convert our weights to the names and layout of OLMo-core's dropless `MoETransformer`, and back.

Both compute the same function; the experts have one layout, and only v1 is called w3. Needs no OLMo-core itself.
"""

import re
from typing import Any

import torch
from torch import Tensor

from moe_lib.config import ModelConfig, TrainingConfig
from moe_lib.errors import InputError
from moe_lib.model.reference import NORM_EPSILON
from moe_lib.model.transformer import Transformer, build_model

EMBEDDING, UNEMBEDDING = "embeddings.weight", "lm_head.w_out.weight"
_PLAIN = {
    "embedding.weight": EMBEDDING,
    "final_norm.weight": "lm_head.norm.weight",
    "unembedding.weight": UNEMBEDDING,
}
_LAYER = {
    "attention_norm.weight": "attention_norm.weight",
    "attention.out.weight": "attention.w_out.weight",
    "attention.q_norm.weight": "attention.q_norm.weight",
    "attention.k_norm.weight": "attention.k_norm.weight",
    "experts_norm.weight": "feed_forward_norm.weight",
    "moe.experts.mlp.w1": "feed_forward_moe.experts.mlp.w1",
    "moe.experts.mlp.v1": "feed_forward_moe.experts.mlp.w3",
    "moe.experts.mlp.w2": "feed_forward_moe.experts.mlp.w2",
}
_QKV = ("w_q", "w_k", "w_v")


def arguments(model: ModelConfig) -> dict[str, Any]:
    """The arguments of `TransformerConfig.llama_like_moe` for a model; `InputError` if it cannot build it.

    The builder ignores `embed_scale`: for an embedding multiplier, set it on the built model.
    """
    require_defaults(
        model,
        "model",
        qk_bias="it has no biases of queries and keys alone",
        scaled_gates="it does not scale its gates",
        layer_repeats="it passes its layers once",
    )
    return {
        "d_model": model.d_model,
        "vocab_size": model.vocab_size,
        "n_layers": model.n_layers,
        "n_heads": model.n_heads,
        "num_experts": model.n_experts,
        "top_k": model.n_experts_active,
        "expert_hidden_size": model.d_expert,
        "dropless": True,
        "qk_norm": model.qk_norm,
        "layer_norm_eps": NORM_EPSILON,
        "rope_theta": model.rope_base,
        "tie_word_embeddings": model.tied_embeddings,
    }


def require_defaults(config: ModelConfig | TrainingConfig, part: str, **reasons: str) -> None:
    """`InputError`, with its reason, for a named field of a part of a run that has not its default."""
    for name, why in reasons.items():
        value = getattr(config, name)
        if value != type(config).model_fields[name].default:
            raise InputError(f"{part}.{name} = {value} cannot be exported to OLMo-core: {why}")


def to_olmo_core(model: Transformer) -> dict[str, Tensor]:
    """The state of OLMo-core's model; a tied matrix is under both its names."""
    arguments(model.config)
    tensors = {}
    for name, weight in model.named_parameters():
        tensors.update({place: part.contiguous() for place, part in _exported(name, weight.detach()).items()})
    if model.config.tied_embeddings:
        tensors[UNEMBEDDING] = tensors[EMBEDDING].clone()
    return tensors


def from_olmo_core(config: ModelConfig, tensors: dict[str, Tensor]) -> Transformer:
    """Our model from the state of OLMo-core's; `InputError` unless names and shapes are those of `config`."""
    model = build_model(config, seed=0)
    left = set(tensors) - ({UNEMBEDDING} if config.tied_embeddings else set())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            for place, part in _exported(name, weight).items():
                if place not in left or tensors[place].shape != part.shape:
                    raise InputError(f"{place} of shape {list(part.shape)} is missing among OLMo-core's tensors")
                part.copy_(tensors[place])
                left.discard(place)
    if left:
        raise InputError(f"{min(left)} is not a weight of the model that run.json describes")
    return model


def _exported(name: str, weight: Tensor) -> dict[str, Tensor]:
    """Views of one of our weights under OLMo-core's names."""
    if name in _PLAIN:
        return {_PLAIN[name]: weight}
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    assert found
    layer, inner = f"blocks.{found[1]}.", found[2]
    if inner == "attention.qkv.weight":
        return {f"{layer}attention.{part}.weight": w for part, w in zip(_QKV, weight.chunk(3), strict=True)}
    if inner == "moe.router.layer.weight":
        return {f"{layer}feed_forward_moe.router.weight": weight.view(-1)}
    return {layer + _LAYER[inner]: weight}
