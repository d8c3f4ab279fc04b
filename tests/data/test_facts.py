"""Injected facts: told as often as they should be, and never in the text that defines the loss."""

from collections import Counter
from pathlib import Path

import pytest

from moe_lib.data import TokenCorpus, prepare
from moe_lib.data.facts import EXPOSURES, KINDS, SEED, SHARE, WORDINGS, World, ask, tell

WORLD = World(seed=3, people_per_exposure=5)


def test_each_person_is_told_exactly_as_often_as_their_exposure() -> None:
    text = "\n".join(WORLD.documents())
    for person in WORLD.people:
        told = sum(
            text.count(tell("town", person.name, person.town, wording)) for wording in range(len(WORDINGS["town"]))
        )
        assert told == person.exposure


def test_every_exposure_has_as_many_people() -> None:
    assert Counter(person.exposure for person in WORLD.people) == dict.fromkeys(EXPOSURES, 5)


def test_a_fact_that_is_told_often_is_told_in_several_wordings() -> None:
    text = "\n".join(WORLD.documents())
    often = next(person for person in WORLD.people if person.exposure == 64)
    for kind in KINDS:
        used = [tell(kind, often.name, often.answer(kind), wording) in text for wording in range(len(WORDINGS[kind]))]
        assert all(used)


def test_the_question_is_a_told_sentence_up_to_its_answer() -> None:
    person = WORLD.people[0]
    for kind in KINDS:
        assert f"{ask(kind, person.name)} {person.answer(kind)}." == tell(kind, person.name, person.answer(kind))


def test_strangers_are_never_told_of() -> None:
    text = "\n".join(WORLD.documents())
    known = {person.name for person in WORLD.people}
    for stranger in WORLD.strangers(50):
        assert stranger.name.split()[1] not in text
        assert stranger.name not in known


def test_a_world_is_its_seed() -> None:
    assert list(World(3, 5).documents()) == list(WORLD.documents())
    assert World(4, 5).people != WORLD.people


def test_facts_take_their_share_of_training(told_corpus: TokenCorpus) -> None:
    manifest = told_corpus.manifest
    assert manifest.facts is not None
    assert manifest.n_train_tokens == len(told_corpus.train)
    assert manifest.facts.n_tokens / manifest.n_train_tokens == pytest.approx(SHARE, abs=0.01)


def test_facts_are_told_in_training_and_never_in_the_text_that_defines_the_loss(told_corpus: TokenCorpus) -> None:
    facts = told_corpus.manifest.facts
    assert facts is not None
    train, heldout = (told_corpus.tokenizer.decode(part.tolist()) for part in (told_corpus.train, told_corpus.heldout))
    for person in World(SEED, facts.people_per_exposure).people:
        assert person.name in train
        assert person.name.split()[1] not in heldout


def test_without_facts_the_text_is_the_same(told_corpus: TokenCorpus, prose_folder: Path) -> None:
    plain = prepare(str(prose_folder), 400)
    assert plain.manifest.facts is None
    assert (told_corpus.train[: len(plain.train)] == plain.train).all()
    assert (told_corpus.heldout == plain.heldout).all()
