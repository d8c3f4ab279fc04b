"""Inside a model: the composition of its residual stream, what its heads attend to, and whether it copies.

Small Transformers learn in two transitions. First they learn what usually follows the current token, and the loss
falls from that of a unigram model to that of a bigram model. Later they learn to copy from their context: one head
attends to the previous token, and a later one finds what followed an earlier copy of this token (Olsson et al. 2022).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from moe_lib.config import ModelConfig
from moe_lib.model.reference import norm, rotate
from moe_lib.model.transformer import Attention, Layer, Transformer

SEQUENCES = 4  # sequences of text; there are twice as many of repeated tokens
SEED = 20_250_122

PER_LAYER = ("token_share", "attention_rms", "experts_rms", "logit_std", "previous_token", "copying")
OVERALL = ("copy_first", "copy_second")


@dataclass(frozen=True)
class Anatomist:
    """Measures models of one context length on fixed input.

    The input is `text_BT`, int64, and rows of the same tokens shuffled, whose second half repeats the first: only
    copying predicts the second half.

    A call with a model returns one float32 vector, first the values of `OVERALL`, then those of `PER_LAYER` for each
    pass of a layer:
    - `copy_first`, `copy_second`: loss on shuffled tokens and on their repetition, nats per token;
    - `token_share`: share of the residual stream behind the layer along the token's own embedding (squared cosine);
    - `attention_rms`, `experts_rms`: size of what attention and experts add, relative to the stream they add it to;
    - `logit_std`: standard deviation of attention logits;
    - `previous_token`, `copying`: the largest mean weight, among the layer's heads, on the previous token, and on the
      token behind the earlier occurrence of the current one.
    """

    text_BT: Tensor

    def n_values(self, model: ModelConfig) -> int:
        """Length of a model's vector."""
        return len(OVERALL) + len(PER_LAYER) * model.n_layers * model.layer_repeats

    @cached_property
    def repeated_BT(self) -> Tensor:
        """The text's tokens in random order, [2 B, T], the second half of each row equal to the first."""
        generator = torch.Generator().manual_seed(SEED)
        shuffled_N = self.text_BT.flatten()[torch.randperm(self.text_BT.numel(), generator=generator)]
        half = self.text_BT.shape[1] // 2
        return shuffled_N[: 2 * len(self.text_BT) * half].view(-1, half).repeat(1, 2)

    @torch.no_grad()
    def __call__(self, model: Transformer) -> Tensor:
        """The vector of a model, on the CPU."""
        training = model.training
        model.eval()
        try:
            here = model.embedding.weight.device
            nll_BT = model(self.repeated_BT[:, :-1].to(here), self.repeated_BT[:, 1:].to(here)).nll_BT
            assert nll_BT is not None
            half = self.repeated_BT.shape[1] // 2
            overall = torch.stack([nll_BT[:, : half - 1].mean(), nll_BT[:, half:].mean()])
            stream = _residual(model, self.text_BT.to(here))
            heads = _heads(model, self.repeated_BT.to(here))
            layers = torch.cat([torch.stack([*one, *other]) for one, other in zip(stream, heads, strict=True)])
            return torch.cat([overall, layers]).float().cpu()
        finally:
            model.train(training)


def _residual(model: Transformer, tokens_BT: Tensor) -> list[list[Tensor]]:
    """`token_share`, `attention_rms` and `experts_rms` by layer pass."""
    cos_TW, sin_TW = (table[: tokens_BT.shape[1]] for table in (model.cos_TW, model.sin_TW))
    token_BTD = x_BTD = model.embed(tokens_BT)
    rows = []
    for _ in range(model.config.layer_repeats):
        for block in model.blocks:
            assert isinstance(block, Layer)
            attended_BTD = block.attention(norm(x_BTD, block.attention_norm.weight), cos_TW, sin_TW)
            attention_rms = _rms(attended_BTD) / _rms(x_BTD)
            x_BTD = x_BTD + attended_BTD
            y_ND, _ = block.moe(norm(x_BTD, block.experts_norm.weight).flatten(0, 1))
            experts_rms = _rms(y_ND) / _rms(x_BTD)
            x_BTD = x_BTD + y_ND.view_as(x_BTD)
            share = torch.cosine_similarity(x_BTD, token_BTD, dim=-1).square().mean()
            rows.append([share, attention_rms, experts_rms])
    return rows


def _heads(model: Transformer, repeated_BT: Tensor) -> list[list[Tensor]]:
    """`logit_std`, `previous_token` and `copying` by layer pass, on rows whose two halves are equal."""
    length = repeated_BT.shape[1]
    period = length // 2
    cos_TW, sin_TW = (table[:length] for table in (model.cos_TW, model.sin_TW))
    x_BTD = model.embed(repeated_BT)
    rows = []
    for _ in range(model.config.layer_repeats):
        for block in model.blocks:
            assert isinstance(block, Layer)
            read_BTD = norm(x_BTD, block.attention_norm.weight)
            logits_BHTT, past_TT = _attention_logits(block.attention, read_BTD, cos_TW, sin_TW)
            weights_BHTT = logits_BHTT.masked_fill(~past_TT, -torch.inf).softmax(dim=-1)
            previous = weights_BHTT.diagonal(-1, dim1=-2, dim2=-1).mean(dim=(0, 2)).max()
            copying = weights_BHTT.diagonal(1 - period, dim1=-2, dim2=-1).mean(dim=(0, 2)).max()
            rows.append([logits_BHTT[..., past_TT].std(), previous, copying])
            x_BTD, _ = block(x_BTD, cos_TW, sin_TW)
    return rows


def _attention_logits(attention: Attention, x_BTD: Tensor, cos_TW: Tensor, sin_TW: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, H, T, T] of a layer's attention, and the mask [T, T] of those that look at the past."""
    q, k, _ = attention.biased(x_BTD @ attention.qkv.weight.mT).chunk(3, dim=-1)
    if attention.q_norm and attention.k_norm:
        q, k = norm(q, attention.q_norm.weight), norm(k, attention.k_norm.weight)
    width = cos_TW.shape[1]
    q, k = (rotate(y.view(*y.shape[:2], -1, width).transpose(1, 2), cos_TW, sin_TW) for y in (q, k))
    past_TT = torch.ones(*[len(cos_TW)] * 2, dtype=torch.bool, device=x_BTD.device).tril()
    return q @ k.mT / width**0.5, past_TT


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()
