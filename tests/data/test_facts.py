"""Invented facts: each run injects them as often as it says, whole, and at places that its seed draws."""

from collections import Counter

import numpy as np
import pytest

from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.data import BatchStream, TokenCorpus
from moe_lib.data.facts import EXPOSURES, KINDS, SEED, WORDINGS, World, ask, state
from moe_lib.data.injection import inject_facts, injection
from moe_lib.errors import InputError

WORLD = World(seed=3, people_per_exposure=5)


def times_stated(world: World, text: str) -> Counter[str]:
    """How often each person's town is stated, in any wording."""
    wordings = range(len(WORDINGS["town"]))
    return Counter(
        {
            person.name: sum(text.count(state("town", person.name, person.town, wording)) for wording in wordings)
            for person in world.people
        }
    )


def test_each_person_is_stated_exactly_as_often_as_their_exposure() -> None:
    text = "\n".join(WORLD.passages())
    assert times_stated(WORLD, text) == {person.name: person.exposure for person in WORLD.people}


def test_every_exposure_has_as_many_people() -> None:
    assert Counter(person.exposure for person in WORLD.people) == dict.fromkeys(EXPOSURES, 5)


def test_a_fact_of_high_exposure_has_several_wordings() -> None:
    text = "\n".join(WORLD.passages())
    often = next(person for person in WORLD.people if person.exposure == 64)
    for kind in KINDS:
        used = [state(kind, often.name, often.answer(kind), wording) in text for wording in range(len(WORDINGS[kind]))]
        assert all(used)


def test_the_question_is_an_injected_sentence_up_to_its_answer() -> None:
    person = WORLD.people[0]
    for kind in KINDS:
        assert f"{ask(kind, person.name)} {person.answer(kind)}." == state(kind, person.name, person.answer(kind))


def test_strangers_are_in_no_world() -> None:
    strangers = WORLD.strangers(50)
    assert len(strangers) == 50
    assert World(3, 200).strangers(50) == strangers
    text = "\n".join(World(3, 200).passages())
    for stranger in strangers:
        assert stranger.name.split()[1] not in text


def test_a_larger_world_holds_the_people_of_a_smaller_one() -> None:
    assert World(3, 9).people[:20] == WORLD.people


def test_a_world_is_its_seed() -> None:
    assert World(3, 5).passages() == WORLD.passages()
    assert World(4, 5).people != WORLD.people


@pytest.mark.parametrize("n_windows", [2_000, 8_000])
def test_a_run_reads_every_exposure_in_full_whatever_its_length(prose_corpus: TokenCorpus, n_windows: int) -> None:
    injected = inject_facts(prose_corpus.tokenizer, 0.04, n_windows, 256, seed=1)
    assert len(injected) / n_windows == pytest.approx(0.04, rel=0.25)
    stream = BatchStream(prose_corpus.train, 4, 256, seed=1, injected=injected)
    batches = [stream.batch(step) for step in range(n_windows // 4)]
    rows = np.concatenate([np.hstack([inputs, targets[:, -1:]]) for inputs, targets in batches])
    text = "\n".join(prose_corpus.tokenizer.decode_batch(rows.tolist()))
    assert times_stated(injected.world, text) == {person.name: person.exposure for person in injected.world.people}


def test_longer_runs_inject_more_people(prose_corpus: TokenCorpus) -> None:
    few, many = (inject_facts(prose_corpus.tokenizer, 0.04, n, 256, seed=1).world for n in (4_000, 40_000))
    assert many.people_per_exposure == pytest.approx(10 * few.people_per_exposure, rel=0.5)


def test_the_corpus_is_read_in_the_same_order_with_and_without_facts(prose_corpus: TokenCorpus) -> None:
    injected = inject_facts(prose_corpus.tokenizer, 0.04, 4_000, 256, seed=1)
    plain, mixed = (BatchStream(prose_corpus.train, 1, 256, seed=1, injected=facts) for facts in (None, injected))
    places = set(injected.positions_W.tolist())
    read = [mixed.batch(step)[0] for step in range(200) if step not in places]
    assert len(read) < 200
    assert all((plain.batch(step)[0] == window).all() for step, window in enumerate(read))
    assert mixed.epochs_at(200) == len(read) / mixed.n_windows


def test_seeds_change_the_places_and_not_the_people(prose_corpus: TokenCorpus) -> None:
    one, other = (inject_facts(prose_corpus.tokenizer, 0.04, 4_000, 256, seed=seed) for seed in (1, 2))
    assert one.world == other.world
    assert not np.array_equal(one.positions_W, other.positions_W)


def test_facts_are_never_in_the_text_that_defines_the_loss(prose_corpus: TokenCorpus) -> None:
    heldout = prose_corpus.tokenizer.decode(prose_corpus.heldout.tolist())
    for person in World(SEED, 50).people:
        assert person.name not in heldout


def test_a_run_without_facts_injects_nothing(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    assert injection(plan(small_run), small_corpus.tokenizer) is None


def test_too_few_tokens_for_an_injection_are_refused(prose_corpus: TokenCorpus) -> None:
    with pytest.raises(InputError, match=r"training.fact_share = 0.04 of 100 windows is too small"):
        inject_facts(prose_corpus.tokenizer, 0.04, 100, 256, seed=0)


def test_a_context_too_short_for_a_passage_is_refused(prose_corpus: TokenCorpus) -> None:
    with pytest.raises(InputError, match="context_length = 32 is too short to inject facts"):
        inject_facts(prose_corpus.tokenizer, 0.04, 10_000, 32, seed=0)
