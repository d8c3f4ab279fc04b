"""Recipes: what each corpus is made from, and the name of its files."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from moe_lib.data.redpajama import GPT_NEOX_VOCAB_SIZE, gpt_neox_tokenizer, redpajama_slices
from moe_lib.data.reference import reference_slices
from moe_lib.data.reference_2 import reference_2_slices
from moe_lib.data.slices import TextSlice, embedded_slices, path_slices
from moe_lib.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUILD = 1  # part of the fingerprint; increase it when the same sources would give other tokens
KNOWN = ("embedded", "reference", "reference-2", "redpajama")
HELDOUT_ONE_IN = 32


@dataclass(frozen=True)
class Recipe:
    """What a corpus is made from; `pretrained` maps a vocabulary size to a tokenizer that is used as it is.

    One document in `heldout_one_in` is held out.
    """

    name: str
    slices: Sequence[TextSlice]
    pretrained: "Mapping[int, Callable[[], Tokenizer]]" = field(default_factory=dict)
    heldout_one_in: int = HELDOUT_ONE_IN

    def fingerprint(self, vocab_size: int) -> str:
        """Identifies the tokens without reading any text: equal recipes give equal tokens."""
        parts = [[part.name, part.sources] for part in self.slices]
        split = [] if self.heldout_one_in == HELDOUT_ONE_IN else [self.heldout_one_in]
        content = json.dumps([BUILD, vocab_size, parts, *split], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def recipe_name(corpus: str) -> str:
    """The name of a corpus's files: its own name, or for a path its stem and a hash of the whole path."""
    if corpus in KNOWN:
        return corpus
    path = Path(os.path.realpath(corpus))
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.stem)
    return f"{stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


def find_recipe(corpus: str, downloads: Path) -> Recipe:
    """The recipe of a known corpus or of a path; `InputError` if `corpus` is neither."""
    name = recipe_name(corpus)
    if corpus == "embedded":
        return Recipe(name, embedded_slices())
    if corpus == "reference":
        return Recipe(name, reference_slices(downloads))
    if corpus == "reference-2":
        return Recipe(name, reference_2_slices(downloads), heldout_one_in=128)
    if corpus == "redpajama":
        return Recipe(name, redpajama_slices(), {GPT_NEOX_VOCAB_SIZE: gpt_neox_tokenizer})
    if not corpus or not Path(corpus).exists():
        raise InputError(f"corpus = '{corpus}' has to be {', '.join(KNOWN)}, or an existing file or folder of text")
    return Recipe(name, path_slices(Path(os.path.realpath(corpus))))
