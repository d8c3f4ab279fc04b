"""Convert our weights to the names and layout of Hugging Face's `OlmoeForCausalLM`, and back.

Both compute the same function: pre-norm RMSNorm, QK-norm over the model width, rotary positions with halves paired,
softmax over all experts, and top-k without renormalisation.
"""

import itertools
import re
from typing import Any

import torch
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.model.reference import NORM_EPSILON
from moe_lib.model.router import gate_scale
from moe_lib.model.transformer import Transformer, build_model

_PLAIN = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.norm.weight",
    "unembedding.weight": "lm_head.weight",
}
_LAYER = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "attention.q_norm.weight": "self_attn.q_norm.weight",
    "attention.k_norm.weight": "self_attn.k_norm.weight",
    "experts_norm.weight": "post_attention_layernorm.weight",
    "moe.router.layer.weight": "mlp.gate.weight",
}
_QKV = ("q_proj", "k_proj", "v_proj")
_WITHOUT_BIAS = ("v_proj", "o_proj")  # in our models
_EXPERT = {"w1": "gate_proj", "v1": "up_proj", "w2": "down_proj"}


def to_huggingface(model: Transformer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """`config.json` and the tensors of `model.safetensors`; `InputError` without QK-norm or with repeated layers."""
    config = model.config
    if not config.qk_norm:
        raise InputError("qk_norm = False cannot be exported: OLMoE always norms queries and keys")
    if config.layer_repeats > 1:
        raise InputError(f"layer_repeats = {config.layer_repeats} cannot be exported: OLMoE passes its layers once")
    tensors = {}
    for name, weight in model.named_parameters():
        scale = gate_scale(config) if name.endswith("experts.mlp.w2") else 1.0  # OLMoE does not scale its gates
        tensors.update(_exported(name, weight.detach() * scale, config))
    if config.qk_bias:
        for layer, part in itertools.product(range(config.n_layers), _WITHOUT_BIAS):
            tensors[f"model.layers.{layer}.self_attn.{part}.bias"] = torch.zeros(config.d_model)
    exported = _olmoe_config(config)
    if config.embedding_multiplier != 1:  # OLMoE has no multiplier, so the two matrices have to differ
        embedding, unembedding = _PLAIN["embedding.weight"], _PLAIN["unembedding.weight"]
        tensors.setdefault(unembedding, tensors[embedding])
        tensors[embedding] = tensors[embedding] * config.embedding_multiplier
        exported["tie_word_embeddings"] = False
    return exported, tensors


def from_huggingface(config: dict[str, Any], tensors: dict[str, Tensor]) -> Transformer:
    """The model of an exported configuration and its tensors; `InputError` unless our model can compute it."""
    for name, tensor in tensors.items():
        if name.endswith(tuple(f"{part}.bias" for part in _WITHOUT_BIAS)) and tensor.any():
            raise InputError(f"{name} has to be zero: our models have biases of queries and keys only")
    model = build_model(_our_config(config), seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            names = _exported(name, weight, model.config)
            missing = names.keys() - tensors.keys()
            if missing:
                raise InputError(f"{min(missing)} is missing among the tensors")
            for place, part in names.items():
                part.copy_(tensors[place])
    return model


def _exported(name: str, weight: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """Views of one of our weights under their exported names."""
    if name in _PLAIN:
        return {_PLAIN[name]: weight}
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    assert found
    layer, inner = f"model.layers.{found[1]}.", found[2]
    if inner == "attention.qkv.weight":
        return {f"{layer}self_attn.{part}.weight": w for part, w in zip(_QKV, weight.chunk(3), strict=True)}
    if inner == "attention.qk_bias":
        return {f"{layer}self_attn.{part}.bias": w for part, w in zip(_QKV, weight.chunk(2), strict=False)}
    if inner.startswith("moe.experts.mlp."):
        kind = inner.rsplit(".", 1)[1]
        experts = weight.unflatten(0, (config.n_experts, config.d_expert)).unbind()  # type: ignore[no-untyped-call]
        return {
            f"{layer}mlp.experts.{e}.{_EXPERT[kind]}.weight": expert.mT if kind == "w2" else expert
            for e, expert in enumerate(experts)
        }
    return {layer + _LAYER[inner]: weight}


def _olmoe_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["OlmoeForCausalLM"],
        "model_type": "olmoe",
        "dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": config.d_model,
        "intermediate_size": config.d_expert,
        "max_position_embeddings": config.context_length,
        "norm_topk_prob": False,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_heads,
        "num_experts": config.n_experts,
        "num_experts_per_tok": config.n_experts_active,
        "num_hidden_layers": config.n_layers,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": config.rope_base,
        "rope_parameters": {"rope_theta": config.rope_base, "rope_type": "default"},
        "tie_word_embeddings": config.tied_embeddings,
        "vocab_size": config.vocab_size,
        "attention_bias": config.qk_bias,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _our_config(config: dict[str, Any]) -> ModelConfig:
    """Our configuration of an OLMoE's; fields without a counterpart have to match what we compute."""
    expected = {
        "model_type": "olmoe",
        "hidden_act": "silu",
        "norm_topk_prob": False,
        "rms_norm_eps": NORM_EPSILON,
        "num_key_value_heads": config.get("num_attention_heads"),
    }
    for field, value in expected.items():
        if config.get(field) != value:
            raise InputError(f"{field} = {config.get(field)!r} has to be {value!r}")
    d_model, d_expert = config["hidden_size"], config["intermediate_size"]
    if (4 * d_model) % d_expert:
        raise InputError(f"intermediate_size = {d_expert} has to divide 4 hidden_size = {4 * d_model}")
    rope = config.get("rope_parameters") or config
    return ModelConfig(
        d_model=d_model,
        n_layers=config["num_hidden_layers"],
        n_heads=config["num_attention_heads"],
        n_experts=config["num_experts"],
        n_experts_active=config["num_experts_per_tok"],
        granularity=4 * d_model // d_expert,
        vocab_size=config["vocab_size"],
        context_length=config["max_position_embeddings"],
        tied_embeddings=config["tie_word_embeddings"],
        rope_base=rope["rope_theta"],
        qk_bias=config.get("attention_bias", False),
    )
