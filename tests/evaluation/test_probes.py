"""The probes separate what a model remembers from what it reads."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from moe_lib.config import ModelConfig
from moe_lib.data import TokenCorpus
from moe_lib.data.facts import KINDS, SEED, TRADES, World
from moe_lib.evaluation import evaluate
from moe_lib.evaluation.probes import ask_probes, repeats_trigram
from moe_lib.evaluation.questions import closed_book, last_word, minimal_pairs, open_book, questions
from moe_lib.model import build_model

from .models import Copier, Guesser, Rememberer

WORLD = World(SEED, 10)


def test_a_model_that_only_copies_reads_and_does_not_know(prose_corpus: TokenCorpus) -> None:
    copier = ask_probes(Copier(prose_corpus.vocab_size), prose_corpus, WORLD)
    guesser = ask_probes(Guesser(prose_corpus.vocab_size), prose_corpus, WORLD)
    for kind in ("town", "trade", "number"):
        assert copier["open_book"][kind]["accuracy"] > 0.9
        assert copier["open_book"][kind]["nll"] < guesser["open_book"][kind]["nll"] / 2
    assert copier["closed_book"]["exposure_64"]["nll"] == pytest.approx(
        guesser["closed_book"]["exposure_64"]["nll"], rel=0.1
    )
    for exposure in (1, 4, 16, 64):
        assert abs(copier["knowledge"][f"exposure_{exposure}"]["mean"]) < 1
    assert copier["repeated_passages"]["gain"] > 2
    assert copier["reading_gain"]["mean"] > 5


def test_a_model_that_only_remembers_knows_and_does_not_read(prose_corpus: TokenCorpus) -> None:
    answers = ask_probes(Rememberer(prose_corpus, WORLD), prose_corpus, WORLD)
    for exposure in (1, 4, 16, 64):
        assert answers["closed_book"][f"exposure_{exposure}"]["accuracy"] > 0.9
        assert answers["knowledge"][f"exposure_{exposure}"]["mean"] > 5
    assert answers["reading_gain"]["mean"] < -5


def test_how_common_an_answer_is_gives_nothing_away() -> None:
    world = World(SEED, 50)
    answers = {
        kind: Counter(person.answer(kind) for person in world.people for _ in range(person.exposure)) for kind in KINDS
    }
    asked = [one for one in (*closed_book(world), *open_book(world)) if len(one.choices) > 1]
    right = []
    for question in asked:
        answer = question.choices[0].strip()
        kind = "number" if answer.isdigit() else "trade" if answer in TRADES else "town"
        common = [answers[kind][choice.strip()] for choice in question.choices]
        right.append((common[0] == max(common)) / common.count(max(common)))
    assert np.mean(right) == pytest.approx(0.25, abs=0.05)


def test_no_question_is_cut_at_a_context_of_256(prose_corpus: TokenCorpus) -> None:
    answers = ask_probes(Guesser(prose_corpus.vocab_size), prose_corpus, WORLD)
    assert answers["open_book"]["town"]["n_truncated"] == 0
    assert answers["closed_book"]["exposure_1"]["n_truncated"] == 0


def test_questions_whose_answers_are_longer_than_the_context_are_counted_and_not_asked(
    small_corpus: TokenCorpus,
) -> None:
    wide, narrow = (
        ask_probes(Guesser(small_corpus.vocab_size, context), small_corpus, WORLD)["minimal_pairs"]["agreement"]
        for context in (256, 36)
    )
    assert (wide["n"], wide["n_too_long"]) == (40, 0)
    assert 0 < narrow["n"] < 40
    assert narrow["n"] + narrow["n_too_long"] == 40


@pytest.mark.parametrize("context_length", [2, 3])
def test_if_no_question_fits_only_counts_are_reported(prose_corpus: TokenCorpus, context_length: int) -> None:
    answers = ask_probes(Guesser(prose_corpus.vocab_size, context_length), prose_corpus, WORLD)
    assert answers["minimal_pairs"]["agreement"] == {"n": 0, "n_too_long": 40}
    assert answers["knowledge"]["exposure_64"]["n"] == answers["closed_book"]["exposure_64"]["n"]
    json.dumps(answers, allow_nan=False)


def test_an_open_book_states_its_answer_once_and_its_wrong_answers_too(prose_corpus: TokenCorpus) -> None:
    read = [question for question in questions(prose_corpus, WORLD) if question.probe == "open_book"]
    for question in read:
        facts = question.context.rsplit("\n", 1)[0]
        assert all(facts.count(f"{choice}.") == 1 for choice in question.choices)


def test_a_two_hop_question_needs_both_sentences(prose_corpus: TokenCorpus) -> None:
    for question in questions(prose_corpus, WORLD):
        if question.probe == "two_hop":
            *lines, asked = question.context.split("\n")
            name = asked.removeprefix("The province where ").removesuffix(" was born is")
            (town,) = [line.removeprefix(f"{name} was born in").strip(" .") for line in lines if line.startswith(name)]
            assert f"{town} lies in{question.choices[0]}." in lines


def test_wrong_choices_differ_from_the_right_one(prose_corpus: TokenCorpus) -> None:
    assert all(question.choices[0] not in question.choices[1:] for question in questions(prose_corpus, WORLD))


def test_without_facts_nothing_is_asked_closed_book(small_corpus: TokenCorpus) -> None:
    assert "closed_book" not in {question.probe for question in questions(small_corpus, None)}


def test_a_last_word_has_been_said_before() -> None:
    filler = " ".join(f"w{number}" for number in range(28))
    question = last_word(f"The teacher {filler} and then the teacher went away from here")
    assert question is not None
    assert question.choices == (" teacher",)
    assert question.context.endswith("and then the")
    assert last_word(filler) is None


def test_a_minimal_pair_differs_in_one_word() -> None:
    groups = Counter(question.group for question in minimal_pairs())
    assert set(groups.values()) == {40}
    for question in minimal_pairs():
        right, wrong = (choice.split() for choice in question.choices)
        assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 1


def test_a_repeated_trigram_is_seen_within_its_window_only() -> None:
    tokens = np.array([1, 2, 3, 9, 1, 2, 3, 4, 1, 2, 3], dtype=np.uint16)
    assert np.flatnonzero(repeats_trigram(tokens, 100)).tolist() == [5, 9]
    assert np.flatnonzero(repeats_trigram(tokens, 7)).tolist() == [5]


def test_an_evaluation_is_the_same_to_the_last_digit_in_two_runs(prose_corpus: TokenCorpus) -> None:
    model = build_model(ModelConfig(d_model=16, n_layers=1, n_heads=2, vocab_size=400, context_length=128), 0)
    assert evaluate(model, prose_corpus, WORLD) == evaluate(model, prose_corpus, WORLD)


def test_the_upstream_loss_of_a_guesser_is_log_v(prose_corpus: TokenCorpus) -> None:
    result = evaluate(Guesser(prose_corpus.vocab_size), prose_corpus, None)
    assert result["loss"] == pytest.approx(math.log(prose_corpus.vocab_size), rel=1e-6)
    assert result["loss_standard_error"] == pytest.approx(0, abs=1e-6)
    assert result["n_heldout_tokens"] == len(prose_corpus.heldout) - 1
    documents = prose_corpus.heldout_documents
    bits = math.log2(prose_corpus.vocab_size) * result["n_heldout_tokens"] / documents["n_bytes"].sum()
    assert result["bits_per_byte"] == pytest.approx(bits, rel=1e-6)
