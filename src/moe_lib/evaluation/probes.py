"""Answers to the probes, as numbers: nats of the right answer, accuracy beside chance, and how many were asked."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from moe_lib.data import TokenCorpus
from moe_lib.data.facts import EXPOSURES, World
from moe_lib.evaluation.questions import Question, questions
from moe_lib.evaluation.scoring import LanguageModel, Score, encode_request, fits, score

PASSAGES = 64
PASSAGE_TOKENS = 64


def ask_probes(model: LanguageModel, corpus: TokenCorpus, world: World | None) -> dict[str, Any]:
    """Every probe by group: `nll` and `nll_standard_error` (nats an answer), `accuracy`, `chance`, `n`, and where there
    are choices the `margin` in nats of the right one over the best wrong one. `n_truncated` counts contexts that did
    not fit and lost their beginning; `n_too_long` questions that were not asked, since an answer alone is longer than
    the model's context; where none is left, the two counts stand alone.

    Two differences in nats of the same answer after the same wording, each a mean over pairs: `knowledge`, by exposure,
    a stranger's name minus the right one, positive where the name brings its fact to mind; `reading_gain`, the right
    name closed-book (injected 64 times) minus open-book, positive where reading beats remembering.
    """
    asked = questions(corpus, world)
    answers = _answer(model, corpus, asked)
    result: dict[str, Any] = {}
    for (probe, group), index in _groups(asked).items():
        result.setdefault(probe, {})[group] = _result_of([answers[i] for i in index])
    result["repeated_passages"] = repeated_passages(model, corpus)
    if world:
        pairs = ((one, scores[0]) for one, scores in zip(asked, answers, strict=True) if one.pair and scores)
        nll = {(one.probe, one.pair): right.nll for one, right in pairs}
        result["knowledge"] = {
            f"exposure_{exposure}": _difference(nll, "closed_book_stranger", "closed_book", f" {exposure} ")
            for exposure in EXPOSURES
        }
        result["reading_gain"] = _difference(nll, "closed_book", "open_book", "")
    return result


def _answer(model: LanguageModel, corpus: TokenCorpus, asked: Sequence[Question]) -> list[list[Score]]:
    """The scores of each question's choices; none where one of them does not fit."""
    encoded = [[encode_request(corpus.tokenizer, one.context, choice) for choice in one.choices] for one in asked]
    fitting = [requests if fits(model, requests) else [] for requests in encoded]
    scores = iter(score(model, list(itertools.chain.from_iterable(fitting))))
    return [list(itertools.islice(scores, len(requests))) for requests in fitting]


def _groups(asked: Sequence[Question]) -> dict[tuple[str, str], list[int]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for index, question in enumerate(asked):
        groups.setdefault((question.probe, question.group), []).append(index)
    return groups


def _result_of(answers: Sequence[Sequence[Score]]) -> dict[str, Any]:
    """Right answers come first; among several the one with the lowest sum of nats is chosen, by `margin` on average."""
    n_asked = len(answers)
    answers = [choices for choices in answers if choices]
    counts = {"n": len(answers), "n_too_long": n_asked - len(answers)}
    if not answers:
        return counts
    nll = np.array([choices[0].nll for choices in answers])
    mean = _mean(nll)
    result = {
        "nll": mean["mean"],
        "nll_standard_error": mean["standard_error"],
        **counts,
        "n_truncated": sum(any(one.truncated for one in choices) for choices in answers),
    }
    if len(answers[0]) == 1:
        return {**result, "accuracy": float(np.mean([choices[0].greedy for choices in answers])), "chance": 0.0}
    margins = np.array([min(other.nll for other in choices[1:]) for choices in answers]) - nll
    margin = _mean(margins)
    return {
        **result,
        "accuracy": float((margins > 0).mean()),
        "chance": 1 / len(answers[0]),
        "margin": margin["mean"],
        "margin_standard_error": margin["standard_error"],
    }


def _difference(nll: dict[tuple[str, str], float], minuend: str, subtrahend: str, within: str) -> dict[str, float]:
    """Mean over the pairs that both probes asked, of those with `within` in their name."""
    pairs = [pair for probe, pair in nll if probe == minuend and within in pair and (subtrahend, pair) in nll]
    return _mean(np.array([nll[minuend, pair] - nll[subtrahend, pair] for pair in pairs]))


def repeated_passages(model: LanguageModel, corpus: TokenCorpus) -> dict[str, Any]:
    """Nats a token of held-out passages read for the first and for the second time in one context."""
    width = min(PASSAGE_TOKENS, (model.config.context_length - 1) // 2)
    documents = corpus.heldout_documents
    long = documents[documents["stop"] - documents["start"] > width].head(PASSAGES)
    if long.empty or not width:
        return {"n": 0}
    end = corpus.end_of_text
    rows = [corpus.heldout[start : start + width].tolist() for start in long["start"]]
    tokens = torch.tensor([[end, *row, end, *row] for row in rows])
    with torch.no_grad():
        nll_BT = model(tokens[:, :-1], tokens[:, 1:]).nll_BT
    assert nll_BT is not None
    first, second = (nll_BT[:, start : start + width].double().mean(dim=1).numpy() for start in (0, width + 1))
    gain = _mean(first - second)
    return {
        "first": float(first.mean()),
        "second": float(second.mean()),
        "gain": gain["mean"],
        "gain_standard_error": gain["standard_error"],
        "n": len(rows),
    }


def associative_recall(
    tokens: npt.NDArray[np.uint16], losses: npt.NDArray[np.float64], context_length: int
) -> dict[str, Any]:
    """Nats of tokens that end a repeated trigram of their window, and of all others (cf. Arora et al. 2023).

    `losses` belong to `tokens[1:]`, read in windows of `context_length` without overlap.
    """
    repeated = repeats_trigram(tokens, context_length)
    return {
        "repeated": float(losses[repeated].mean()) if repeated.any() else None,
        "others": float(losses[~repeated].mean()),
        "share": float(repeated.mean()),
    }


def repeats_trigram(tokens: npt.NDArray[np.uint16], context_length: int) -> npt.NDArray[np.bool_]:
    """For each of `tokens[1:]`: did the trigram that it ends stand earlier in its window?"""
    marks = np.zeros(len(tokens) - 1, dtype=bool)
    ids = tokens.tolist()
    for start in range(0, len(ids) - 1, context_length):
        seen = set()
        for at in range(start + 2, min(start + context_length, len(ids) - 1) + 1):
            trigram = (ids[at - 2], ids[at - 1], ids[at])
            marks[at - 1] = trigram in seen
            seen.add(trigram)
    return marks


def _mean(values: npt.NDArray[np.float64]) -> dict[str, float]:
    n = len(values)
    if not n:
        return {"n": 0}
    error = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return {"mean": float(values.mean()), "standard_error": error, "n": n}
