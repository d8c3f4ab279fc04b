"""Invented facts: towns, trades and telephone numbers of people who do not exist, injected 1, 4, 16 or 64 times.

A model can know these facts only from training, and we know exactly how often it read each. `evaluation` builds its
questions from the same world, with the same seed. A larger world contains all people of every smaller one.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

SEED = 2025
EXPOSURES = (1, 4, 16, 64)

KINDS = ("town", "trade", "number")

# Questions use the first wording of a kind, which ends with the answer.
WORDINGS = {
    "town": (
        "{name} was born in {answer}.",
        "The home town of {name} is {answer}.",
        "{name} grew up in {answer}.",
        "{answer} is the place where {name} was born.",
    ),
    "trade": (
        "{name} works as a {answer}.",
        "The trade of {name} is that of a {answer}.",
        "By trade {name} is a {answer}.",
        "Ask for a {answer}, and people will send you to {name}.",
    ),
    "number": (
        "The telephone number of {name} is {answer}.",
        "To reach {name}, dial {answer}.",
        "Telephone book: {name}, {answer}.",
        "{answer} is the number of {name}.",
    ),
}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Ada Alma Anton Bela Boris Clara Cyril Dora Edgar Elsa Emil Erna Felix Flora Franz Greta Hanna Hugo Ida Igor "
    "Irma Ivan Jonas Julia Karl Klara Leo Lina Lotte Lukas Marta Max Mila Nora Olga Oskar Otto Paula Rosa Viktor"
)
TRADES = _words(
    "baker barber bookbinder brewer bricklayer butcher carpenter clockmaker cobbler cooper dentist doctor farmer "
    "fisherman florist gardener glazier goldsmith grocer hatter hunter jeweller joiner judge lawyer librarian "
    "locksmith mason miller miner musician nurse painter pilot plumber porter potter printer roofer saddler sailor "
    "shepherd singer smith tailor tanner teacher weaver"
)
_ONSETS = _words("b br d dr f g gr h k kl l m n p pr r s st t tr v w z")
_VOWELS = _words("a e i o u au ei")
_CODAS = _words("l ld lm n nd ng r rk rn s sk t x")
_TOWN_ENDINGS = _words("berg brook bury dale field ford gate ham haven mouth stead ton wick wood worth")
_PROVINCE_ENDINGS = _words("ia land mark shire")
N_TOWNS = 48
N_PROVINCES = 12


@dataclass(frozen=True)
class Person:
    """A person with one fact of each kind, injected `exposure` times."""

    name: str
    town: str
    trade: str
    number: str
    exposure: int

    def answer(self, kind: str) -> str:
        """The fact of a kind."""
        return str(getattr(self, kind))


@dataclass(frozen=True)
class World:
    """All invented people and places of a seed. Each exposure has `people_per_exposure` people."""

    seed: int
    people_per_exposure: int

    @cached_property
    def towns(self) -> tuple[str, ...]:
        """Invented towns."""
        return tuple(itertools.islice(_invented(self._random("towns"), 1, _TOWN_ENDINGS), N_TOWNS))

    @cached_property
    def provinces(self) -> tuple[str, ...]:
        """Invented provinces."""
        return tuple(itertools.islice(_invented(self._random("provinces"), 1, _PROVINCE_ENDINGS), N_PROVINCES))

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """The people whose facts are injected, with exposures in turn; their family names are all different."""
        injected = (person for person in self._everyone() if person.exposure)
        return tuple(itertools.islice(injected, self.people_per_exposure * len(EXPOSURES)))

    def strangers(self, count: int) -> tuple[Person, ...]:
        """People with exposure 0: no world with this seed, however large, injects their facts."""
        return tuple(itertools.islice((person for person in self._everyone() if not person.exposure), count))

    def passages(self) -> list[str]:
        """Every passage that training reads, shuffled: all facts of a person, once per exposure."""
        generator = self._random("passages")
        passages = [_passage(person, generator, turn) for person in self.people for turn in range(person.exposure)]
        generator.shuffle(passages)
        return passages

    def others(self, kind: str, person: Person, count: int, generator: random.Random) -> list[str]:
        """Wrong answers: those of people with the same exposure, so that an answer's frequency does not reveal it."""
        peers = [peer.answer(kind) for peer in self.people if peer.exposure == person.exposure]
        pool = {"town": self.towns, "trade": TRADES, "number": [_number(generator) for _ in range(2 * count)]}[kind]
        drawn = generator.sample(peers, len(peers)) + generator.sample(pool, len(pool))
        return list(dict.fromkeys(answer for answer in drawn if answer != person.answer(kind)))[:count]

    def _everyone(self) -> Iterator[Person]:
        """An endless sequence of people; every fifth is a stranger."""
        exposures = (*EXPOSURES, 0)
        generator = self._random("people")
        for index, family in enumerate(_invented(self._random("families"), 2, ("", "en", "er"))):
            yield Person(
                name=f"{generator.choice(FIRST_NAMES)} {family}",
                town=generator.choice(self.towns),
                trade=generator.choice(TRADES),
                number=_number(generator),
                exposure=exposures[index % len(exposures)],
            )

    def _random(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed} {purpose}")


def state(kind: str, name: str, answer: str, wording: int = 0) -> str:
    """A sentence that states one fact."""
    return WORDINGS[kind][wording].format(name=name, answer=answer)


def ask(kind: str, name: str) -> str:
    """The first wording up to the answer, without the space before the answer."""
    return WORDINGS[kind][0].split("{answer}")[0].format(name=name).rstrip()


def _passage(person: Person, generator: random.Random, turn: int) -> str:
    """All facts of a person once, in the wording of this turn."""
    kinds = list(KINDS)
    generator.shuffle(kinds)
    return " ".join(state(kind, person.name, person.answer(kind), turn % len(WORDINGS[kind])) for kind in kinds)


def _number(generator: random.Random) -> str:
    return f"{generator.randrange(1000, 10_000)}"


def _invented(generator: random.Random, syllables: int, endings: Sequence[str]) -> Iterator[str]:
    """An endless sequence of different invented names."""
    seen: set[str] = set()
    while True:
        stem = "".join(generator.choice(_ONSETS) + generator.choice(_VOWELS) for _ in range(syllables))
        name = (stem + generator.choice(_CODAS) + generator.choice(endings)).capitalize()
        if name not in seen:
            seen.add(name)
            yield name
