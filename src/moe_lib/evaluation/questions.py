"""The probes: questions to models trained on our corpora, always from the same seeds.

World knowledge asks injected facts closed-book. Reading comprehension asks the same with unseen names and the fact in
the context. Language understanding asks for last words and minimal pairs. Reasoning joins two sentences.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from moe_lib.data import TokenCorpus
from moe_lib.data.facts import EXPOSURES, KINDS, SEED, World, ask, state

N_CHOICES = 4
CLOSED_BOOK = 40  # questions per kind and exposure
OPEN_BOOK = 32  # questions per kind
TWO_HOP = 40
LAST_WORDS = 150
LAST_WORD_TOKENS = 160
MINIMAL_PAIRS = 40  # pairs per phenomenon
PEOPLE_IN_CONTEXT = 4
PEOPLE_IN_TWO_HOP = 3


@dataclass(frozen=True)
class Question:
    """A context and choices that may follow it; the first choice is right.

    With a single choice only its likelihood and whether greedy decoding produces it are recorded. `pair` joins
    questions that are compared one by one.
    """

    probe: str
    group: str
    context: str
    choices: tuple[str, ...]
    pair: str = ""


def questions(corpus: TokenCorpus, world: World | None) -> list[Question]:
    """Every question for a model with the injected facts of `world`; only the closed-book ones depend on the world."""
    known = list(closed_book(world)) if world else []
    everyone = World(SEED, CLOSED_BOOK)
    return [*known, *open_book(everyone), *two_hop(everyone), *last_words(corpus), *minimal_pairs()]


def closed_book(world: World) -> Iterator[Question]:
    """World knowledge: each kind of fact at each exposure, with nothing in the context.

    Each question has a control, `closed_book_stranger`: the same answer after a name that was never injected.
    """
    generator = random.Random(f"{world.seed} closed book")
    for kind in KINDS:
        for exposure in EXPOSURES:
            known = [person for person in world.people if person.exposure == exposure][:CLOSED_BOOK]
            for number, (person, stranger) in enumerate(zip(known, world.strangers(len(known)), strict=True)):
                group, pair = f"exposure_{exposure}", f"{kind} {exposure} {number}"
                answers = (person.answer(kind), *world.others(kind, person, N_CHOICES - 1, generator))
                choices = tuple(f" {answer}" for answer in answers)
                yield Question("closed_book", group, ask(kind, person.name), choices, pair)
                yield Question("closed_book_stranger", group, ask(kind, stranger.name), choices[:1], pair)


def open_book(world: World) -> Iterator[Question]:
    """Reading comprehension: the same wordings and answers, about people never named in training.

    Each context is about four strangers; the wrong choices are the facts of the other three.
    """
    generator = random.Random(f"{world.seed} open book")
    often = max(EXPOSURES)
    known_often = [person for person in world.people if person.exposure == often]
    strangers = iter(world.strangers(len(KINDS) * OPEN_BOOK * PEOPLE_IN_CONTEXT))
    for kind in KINDS:
        for number, person in enumerate(known_often[:OPEN_BOOK]):
            names = [next(strangers).name for _ in range(PEOPLE_IN_CONTEXT)]
            answers = [person.answer(kind), *world.others(kind, person, PEOPLE_IN_CONTEXT - 1, generator)]
            lines = [state(kind, *fact) for fact in zip(names, answers, strict=True)]
            generator.shuffle(lines)
            context = "\n".join([*lines, ask(kind, names[0])])
            choices = tuple(f" {one}" for one in answers)
            yield Question("open_book", kind, context, choices, f"{kind} {often} {number}")


def two_hop(world: World) -> Iterator[Question]:
    """Reasoning: join a person's town of birth with that town's province."""
    generator = random.Random(f"{world.seed} two hop")
    people = iter(world.strangers(TWO_HOP * PEOPLE_IN_TWO_HOP))
    for _ in range(TWO_HOP):
        names = [next(people).name for _ in range(PEOPLE_IN_TWO_HOP)]
        towns = generator.sample(world.towns, PEOPLE_IN_TWO_HOP)
        provinces = generator.sample(world.provinces, PEOPLE_IN_TWO_HOP)
        born = [state("town", name, town) for name, town in zip(names, towns, strict=True)]
        lies = [f"{town} lies in {province}." for town, province in zip(towns, provinces, strict=True)]
        generator.shuffle(born)
        generator.shuffle(lies)
        context = "\n".join([*born, *lies, f"The province where {names[0]} was born is"])
        yield Question("two_hop", "all", context, tuple(f" {province}" for province in provinces))


_WORD = re.compile(r"[a-z]{5,}")


def last_words(corpus: TokenCorpus) -> Iterator[Question]:
    """Language understanding: the last word of held-out prose, a word that the passage has used before.

    In the manner of LAMBADA (Paperno et al. 2016), without its human filter.
    """
    prose = {part.name for part in corpus.manifest.slices if part.prose}
    documents = corpus.heldout_documents
    found = 0
    rows = documents[documents["slice"].isin(prose)]
    for start, stop in zip(rows["start"], rows["stop"], strict=True):
        tokens = corpus.heldout[start : min(stop - 1, start + LAST_WORD_TOKENS)]
        question = last_word(corpus.tokenizer.decode(tokens.tolist()))
        if question:
            found += 1
            yield question
        if found == LAST_WORDS:
            return


def last_word(text: str, after: int = 30) -> Question | None:
    """A question for the first repeated word of five letters or more past the thirtieth word; None without one."""
    words = [(match.start(), match.group()) for match in re.finditer(r"\S+", text)]
    seen = {word for _, word in words[:after]}
    for start, word in words[after:-1]:  # the very last may be cut
        if _WORD.fullmatch(word) and word in seen and text[start - 1] == " ":
            return Question("last_word", "all", text[: start - 1], (f" {word}",))
        seen.add(word)
    return None


_NOUNS = """array file function key line list message method model name node object parameter password permission policy
record request resource result rule server service string table task token user value word"""


def minimal_pairs() -> Iterator[Question]:
    """Language understanding: sentences that differ in one word, one of them against the grammar of English.

    In the manner of BLiMP (Warstadt et al. 2020), with nouns that API documentation and dictionaries share.
    """
    generator = random.Random("minimal pairs")
    nouns = _NOUNS.split()
    for _ in range(MINIMAL_PAIRS):
        one, two = generator.sample(nouns, 2)
        plural = generator.random() < 0.5
        subject = f"{one}s" if plural else one
        verbs = ("are", "is") if plural else ("is", "are")
        yield _pair("agreement", f"The {subject}", verbs, "returned by the server.")
        far = two if plural else f"{two}s"
        yield _pair("agreement_across", f"The {subject} of the {far}", verbs, "returned by the server.")
        yield _pair("determiner", "It returns", ("these", "this") if plural else ("this", "these"), f"{subject}.")
        have = ("have", "has") if plural else ("has", "have")
        yield _pair("auxiliary", f"The {subject} that you use", have, "been changed.")


def _pair(group: str, before: str, words: tuple[str, str], after: str) -> Question:
    return Question("minimal_pairs", group, "", tuple(f"{before} {word} {after}" for word in words))
