"""Recipes: what each corpus is made from, and the name it is kept under."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from moe_lib.data.facts import SEED, World
from moe_lib.data.redpajama import GPT_NEOX_VOCAB_SIZE, gpt_neox_tokenizer, redpajama_slices
from moe_lib.data.reference import reference_slices
from moe_lib.data.slices import TextSlice, embedded_slices, path_slices
from moe_lib.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUILD = 1  # part of the fingerprint: goes up when the same sources would give other tokens
KNOWN = ("embedded", "reference", "redpajama")
FACTS_BY_DEFAULT = ("reference",)


@dataclass(frozen=True)
class Recipe:
    """What a corpus is made from; `facts` says whether facts are injected, `pretrained` brings tokenizers that
    are taken as they are at their vocabulary size."""

    name: str
    slices: Sequence[TextSlice]
    facts: bool
    pretrained: "Mapping[int, Callable[[], Tokenizer]]" = field(default_factory=dict)

    def fingerprint(self, vocab_size: int) -> str:
        """Stands for the tokens without reading a text: equal recipes give equal tokens."""
        parts = [[part.name, part.sources] for part in self.slices]
        facts = list(World(SEED, people_per_exposure=1).documents()) if self.facts else None
        content = json.dumps([BUILD, vocab_size, facts, parts], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def recipe_name(corpus: str) -> str:
    """The name a corpus is kept under: its own, or for a path the stem and a hash of where it lies."""
    base, _ = _split(corpus)
    if base in KNOWN:
        return corpus
    path = Path(base).resolve()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.stem)
    return f"{stem}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}{corpus[len(base) :]}"


def find_recipe(corpus: str, downloads: Path) -> Recipe:
    """The recipe of a known corpus or of a path; `InputError` where it is neither.

    The ending `+facts` or `-facts` switches injected facts on or off against the corpus's default.
    """
    base, facts = _split(corpus)
    name = recipe_name(corpus)
    if base == "embedded":
        return Recipe(name, embedded_slices(), facts)
    if base == "reference":
        return Recipe(name, reference_slices(downloads), facts)
    if base == "redpajama":
        return Recipe(name, redpajama_slices(), facts, {GPT_NEOX_VOCAB_SIZE: gpt_neox_tokenizer})
    if not Path(base).exists():
        raise InputError(f"corpus = '{corpus}' has to be {', '.join(KNOWN)}, or a file or folder of text that exists")
    return Recipe(name, path_slices(Path(base).resolve()), facts)


def _split(corpus: str) -> tuple[str, bool]:
    for ending, facts in (("+facts", True), ("-facts", False)):
        if corpus.endswith(ending):
            return corpus.removesuffix(ending), facts
    return corpus, corpus in FACTS_BY_DEFAULT
