"""Scores are those of the model, whatever the batch, and nothing is dropped in silence."""

import math

import pytest
import torch

from moe_lib.config import ModelConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.evaluation.scoring import Request, encode_request, score
from moe_lib.model import build_model

from .models import Guesser

MODEL = build_model(ModelConfig(d_model=16, n_layers=2, n_heads=2, sparsity=0.5, vocab_size=50, context_length=12), 0)


def test_a_guesser_pays_log_v_for_each_token() -> None:
    (one,) = score(Guesser(50), [Request((1, 2), (3, 4, 5))])
    assert one.nll == pytest.approx(3 * math.log(50), rel=1e-6)
    assert one.nll_per_token == pytest.approx(math.log(50), rel=1e-6)


def test_a_score_is_the_sum_over_the_continuation_alone() -> None:
    context, continuation = (0, 5, 9), (7, 7, 1)
    (one,) = score(MODEL, [Request(context, continuation)])
    logits_BTV = MODEL(torch.tensor([[*context, *continuation]])).logits_BTV
    assert logits_BTV is not None
    log_p_TV = logits_BTV[0].detach().log_softmax(-1)
    expected = -sum(float(log_p_TV[len(context) + i - 1, token]) for i, token in enumerate(continuation))
    assert one.nll == pytest.approx(expected, rel=1e-5)


def test_scores_do_not_depend_on_their_batch() -> None:
    requests = [Request(tuple(range(n % 9 + 1)), (n % 50, (3 * n) % 50)) for n in range(30)]
    together = score(MODEL, requests)
    for request, one in zip(requests, together, strict=True):
        assert score(MODEL, [request])[0].nll == pytest.approx(one.nll, rel=1e-5)


def test_greedy_is_what_the_model_would_say() -> None:
    logits_BTV = MODEL(torch.tensor([[0, 5, 9]])).logits_BTV
    assert logits_BTV is not None
    best = int(logits_BTV[0, -1].argmax())
    said, other = score(MODEL, [Request((0, 5, 9), (best,)), Request((0, 5, 9), ((best + 1) % 50,))])
    assert said.greedy
    assert not other.greedy


def test_a_context_that_is_too_long_loses_its_beginning_and_says_so() -> None:
    long, short = score(MODEL, [Request(tuple(range(20)), (7, 8)), Request(tuple(range(9, 20)), (7, 8))])
    assert long.truncated
    assert not short.truncated
    assert long.nll == pytest.approx(short.nll, rel=1e-6)


def test_an_answer_longer_than_the_context_is_refused() -> None:
    with pytest.raises(InputError, match="answer of 13 tokens has to fit into context_length = 12"):
        score(MODEL, [Request((0,), tuple(range(13)))])


def test_an_empty_answer_is_refused(small_corpus: TokenCorpus) -> None:
    with pytest.raises(InputError, match="answer '' is empty after tokenization"):
        encode_request(small_corpus.tokenizer, "a question", "")
