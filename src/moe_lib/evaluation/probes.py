"""Results of the probes: nats of the right answer, accuracy beside chance, and the number of questions."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from moe_lib.data import TokenCorpus
from moe_lib.data.facts import EXPOSURES, World
from moe_lib.evaluation.questions import Question, questions
from moe_lib.evaluation.scoring import LanguageModel, Score, encode_request, fits, home_of, score

PASSAGES = 64
PASSAGE_TOKENS = 64


def ask_probes(model: LanguageModel, corpus: TokenCorpus, world: World | None) -> dict[str, Any]:
    """Every probe by group: `nll` and `nll_standard_error` (nats per answer), `accuracy`, `chance` and `n`.

    With several choices, `margin` is the lead of the right one over the best wrong one, in nats. `n_truncated` counts
    contexts that did not fit and lost their beginning. `n_too_long` counts questions that were not asked, because an
    answer alone is longer than the model's context; if no question is left, only `n` and `n_too_long` are given.

    Two differences compare the nats of the same answer after the same wording, each as a mean over pairs. `knowledge`,
    by exposure, is a stranger's name minus the right one; it is positive if the name recalls its fact. `reading_gain`
    is the right name closed-book (injected 64 times) minus open-book; it is positive if reading beats recall.
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
    """The scores of each question's choices; empty if one choice does not fit."""
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
    """Summary of the scores; the first answer is right, and the model chooses the one with the lowest sum of nats."""
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
    """Mean difference over the pairs in both probes whose name contains `within`."""
    pairs = [pair for probe, pair in nll if probe == minuend and within in pair and (subtrahend, pair) in nll]
    return _mean(np.array([nll[minuend, pair] - nll[subtrahend, pair] for pair in pairs]))


def repeated_passages(model: LanguageModel, corpus: TokenCorpus) -> dict[str, Any]:
    """Nats per token of held-out passages read for the first and for the second time in one context."""
    width = min(PASSAGE_TOKENS, (model.config.context_length - 1) // 2)
    documents = corpus.heldout_documents
    long = documents[documents["stop"] - documents["start"] > width].head(PASSAGES)
    if long.empty or not width:
        return {"n": 0}
    end = corpus.end_of_text
    rows = [corpus.heldout[start : start + width].tolist() for start in long["start"]]
    tokens = torch.tensor([[end, *row, end, *row] for row in rows], device=home_of(model))
    with torch.no_grad():
        nll_BT = model(tokens[:, :-1], tokens[:, 1:]).nll_BT
    assert nll_BT is not None
    first, second = (nll_BT[:, start : start + width].double().mean(dim=1).cpu().numpy() for start in (0, width + 1))
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
    """For each of `tokens[1:]`, whether the trigram that ends with it occurred earlier in its window."""
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
