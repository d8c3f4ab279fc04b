"""A decoder-only Transformer: pre-norm, rotary positions, QK-norm, experts in every layer (Appendices A to C).

The norms over queries and keys span the whole model width, as in OLMoE. Sequences are packed, and attention crosses
the ends of documents.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lib.config import ModelConfig, Precision
from moe_lib.errors import InputError
from moe_lib.model.backends import backend_for, check_backend, operations_of
from moe_lib.model.experts import make_layer
from moe_lib.model.operations import Operations
from moe_lib.model.reference import NORM_EPSILON
from moe_lib.model.routing import Routing

EMBEDDING_STD = 0.02
BIAS_STD = 2.0  # of queries and keys, whose parts that depend on tokens have 1


@dataclass(frozen=True)
class Output:
    """A model's result: `logits_BTV`, or with targets `nll_BT` (nats, at least float32), and the routing by layer."""

    logits_BTV: Tensor | None
    nll_BT: Tensor | None
    routings: tuple[Routing, ...]

    @property
    def load_balance(self) -> Tensor:
        """Load-balancing loss, mean over layers; 1 if loads are even."""
        return torch.stack([routing.load_balance for routing in self.routings]).mean()

    @property
    def router_z(self) -> Tensor:
        """Router z-loss, mean over layers."""
        return torch.stack([routing.router_z for routing in self.routings]).mean()


def rotary_table(n_positions: int, d_head: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, W] of rotary positions (Su et al. 2021), halves paired as in GPT-NeoX; float32."""
    frequency = base ** (-torch.arange(0, d_head, 2, dtype=torch.float64) / d_head)
    angle = torch.arange(n_positions, dtype=torch.float64)[:, None] * frequency
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos().float(), angle.sin().float()


class Attention(nn.Module):
    """Causal multi-head self-attention with rotary positions, and QK-norm and biases of queries and keys if asked."""

    def __init__(self, model: ModelConfig, operations: Operations, precision: Precision) -> None:
        super().__init__()
        d = model.d_model
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.qk_bias = nn.Parameter(torch.empty(2 * d)) if model.qk_bias else None
        self.q_norm = nn.RMSNorm(d, eps=NORM_EPSILON) if model.qk_norm else None
        self.k_norm = nn.RMSNorm(d, eps=NORM_EPSILON) if model.qk_norm else None
        self.operations = operations
        self.rounded = precision == "bfloat16"

    def forward(self, x_BTD: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> Tensor:
        """Attention's output [B, T, D]."""
        rounded = self.rounded and self.training
        qkv = self.biased(self.operations.linear(x_BTD, self.qkv.weight, rounded))
        q_weight_D, k_weight_D = (norm.weight if norm else None for norm in (self.q_norm, self.k_norm))
        mixed_BTD = self.operations.attention(qkv, q_weight_D, k_weight_D, cos_TW, sin_TW)
        return self.operations.linear(mixed_BTD, self.out.weight, rounded)

    def biased(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values [B, T, 3 D] with the biases of the first two."""
        return qkv if self.qk_bias is None else qkv + F.pad(self.qk_bias, (0, self.qkv.in_features))


class Layer(nn.Module):
    """One layer: attention, then experts, each behind a norm and added to its input."""

    def __init__(self, model: ModelConfig, backend: str, precision: Precision) -> None:
        super().__init__()
        self.operations = operations_of(backend)
        self.attention_norm = nn.RMSNorm(model.d_model, eps=NORM_EPSILON)
        self.attention = Attention(model, self.operations, precision)
        self.experts_norm = nn.RMSNorm(model.d_model, eps=NORM_EPSILON)
        self.moe = make_layer(model, backend, precision)

    def forward(self, x_BTD: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> tuple[Tensor, Routing]:
        """The layer's output and how its tokens were routed."""
        norm = self.operations.norm
        x_BTD = x_BTD + self.attention(norm(x_BTD, self.attention_norm.weight), cos_TW, sin_TW)
        y_ND, routing = self.moe(norm(x_BTD, self.experts_norm.weight).flatten(0, 1))
        return x_BTD + y_ND.view_as(x_BTD), routing


class Transformer(nn.Module):
    """The model of a `ModelConfig`; its numel equals `accounting.count_parameters(config).total`.

    `backend` computes it: `native` (default, if it can be built), `grouped_mm` (for the widths that it supports) or
    `loop`, the reference. `precision` is that of `TrainingConfig`; it applies in training mode. In evaluation mode
    products are float32.
    """

    cos_TW: Tensor
    sin_TW: Tensor

    def __init__(self, config: ModelConfig, backend: str | None = None, precision: Precision = "float32") -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        device = self.embedding.weight.device
        self.backend = backend = backend or backend_for(config, device, precision)
        check_backend(backend, config, precision, device)
        self.operations = operations_of(backend)
        self.rounded = precision == "bfloat16"
        self.blocks = nn.ModuleList(Layer(config, backend, precision) for _ in range(config.n_layers))
        self.final_norm = nn.RMSNorm(config.d_model, eps=NORM_EPSILON)
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied_embeddings:
            self.unembedding.weight = self.embedding.weight
        cos_TW, sin_TW = rotary_table(config.context_length, config.d_head, config.rope_base)
        self.register_buffer("cos_TW", cos_TW, persistent=False)
        self.register_buffer("sin_TW", sin_TW, persistent=False)

    def embed(self, tokens_BT: Tensor) -> Tensor:
        """The residual stream [B, T, D] before the first layer: scaled embeddings of tokens (int64)."""
        x_BTD: Tensor = self.embedding(tokens_BT)
        return x_BTD if self.config.embedding_multiplier == 1 else x_BTD * self.config.embedding_multiplier

    def forward(self, tokens_BT: Tensor, targets_BT: Tensor | None = None) -> Output:
        """Logits of the next token, or with targets (int64) the negative log-likelihood of each, in nats.

        The result is on the device of the tokens. Raises `InputError` for sequences longer than the context length.
        """
        n_positions = tokens_BT.shape[1]
        if n_positions > self.config.context_length:
            raise InputError(f"{n_positions} tokens do not fit into context_length = {self.config.context_length}")
        asked_on, here = tokens_BT.device, self.embedding.weight.device
        x_BTD = self.embed(tokens_BT.to(here))
        cos_TW, sin_TW = self.cos_TW[:n_positions].to(x_BTD.dtype), self.sin_TW[:n_positions].to(x_BTD.dtype)
        routings = []
        for _ in range(self.config.layer_repeats):
            for block in self.blocks:
                x_BTD, routing = block(x_BTD, cos_TW, sin_TW)
                routings.append(routing)
        x_BTD = self.operations.norm(x_BTD, self.final_norm.weight)
        rounded = self.rounded and self.training
        if targets_BT is None:
            logits_BTV = self.operations.linear(x_BTD, self.unembedding.weight, rounded)
            return Output(logits_BTV.to(asked_on), None, tuple(routings))
        target_N = targets_BT.flatten().to(here)
        nll_N = self.operations.next_token_nll(x_BTD.flatten(0, 1), self.unembedding.weight, target_N, rounded)
        return Output(None, nll_N.view_as(targets_BT).to(asked_on), tuple(routings))


def build_model(
    config: ModelConfig,
    seed: int,
    backend: str | None = None,
    expert_spread: float = 1.0,
    precision: Precision = "float32",
    output_init: float = 1.0,
) -> Transformer:
    """A model with fresh weights from a seed, the same for every back end.

    Weights are normal, with standard deviation 0.02 for embeddings and 1 / sqrt(fan-in) for all else. Maps back into
    the residual stream are multiplied by `output_init` over the square root of twice the number of layers passed.
    Norms start at one, and biases with a standard deviation of 2, so that each head begins with distances that it
    prefers. With an `expert_spread` below 1 the experts of a layer start near the first one: each is
    sqrt(1 - spread^2) times the first plus spread times its own draw.
    """
    model = Transformer(config, backend, precision)
    generator = torch.Generator().manual_seed(seed)
    into_residual = math.sqrt(2 * config.n_layers * config.layer_repeats)
    for name, weight in model.named_parameters():
        if name.endswith("qk_bias"):
            nn.init.normal_(weight, std=BIAS_STD, generator=generator)
            continue
        if weight.ndim == 1:
            nn.init.ones_(weight)
            continue
        if name in ("embedding.weight", "unembedding.weight"):
            std = EMBEDDING_STD
        elif name.endswith("w2"):
            std = output_init / (math.sqrt(config.d_expert) * into_residual)
        elif name.endswith("out.weight"):
            std = output_init / (math.sqrt(config.d_model) * into_residual)
        else:
            std = 1 / math.sqrt(config.d_model)
        nn.init.normal_(weight, std=std, generator=generator)
        if expert_spread < 1 and ".experts." in name:
            _draw_together(weight.detach().view(config.n_experts, -1), expert_spread)
    return model


def _draw_together(weight_EX: Tensor, spread: float) -> None:
    """Move each expert towards the first, keeping the variance of its weights."""
    weight_EX[1:] = math.sqrt(1 - spread**2) * weight_EX[0] + spread * weight_EX[1:]
