"""From a recipe to files: documents without duplicates, a tokenizer, tokens, and the manifest's records."""

import csv
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moe_lib.data import corpus as corpora
from moe_lib.data.corpus import END_OF_TEXT, FILES, Manifest, SliceRecord, Tokens
from moe_lib.data.duplicates import near_duplicates
from moe_lib.data.recipes import Recipe
from moe_lib.data.slices import TextSlice
from moe_lib.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_SAMPLE = 6_000_000  # characters of text from which the merges are learned
ENCODED_AT_ONCE = 512  # documents encoded at once

Say = Callable[[str], None]


@dataclass(frozen=True)
class Document:
    """A text, its slice, and its SHA-256, which decides its identity, its order, and its side of the split."""

    key: bytes
    slice: str
    text: str


def build(recipe: Recipe, vocab_size: int, folder: Path, say: Say) -> Manifest:
    """Write a corpus's files into `folder` and return its manifest.

    Documents are ordered by their hashes, so any prefix of the tokens is a sample of the whole mixture.
    """
    documents, dropped = _read(recipe, say)
    if len(documents) < 2:
        raise InputError(f"corpus = '{recipe.name}' has {len(documents)} documents with text; at least two are needed")
    say("learning the tokenizer")
    tokenizer = _tokenizer(recipe, [document.text for document in documents], vocab_size)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    say("encoding")
    counts = _write_tokens(tokenizer, documents, folder, recipe.heldout_one_in)
    n_train = sum(train for train, _ in counts.values())
    if not n_train:
        raise InputError(f"corpus = '{recipe.name}' is too small: no document is left to train on")
    slices = [_record(part, documents, dropped[part.name], *counts[part.name]) for part in recipe.slices]
    files = {name: corpora.file_record(folder / name) for name in FILES}
    digest = corpora.digest_of(files)
    return Manifest(
        name=recipe.name,
        vocab_size=vocab_size,
        folder=f"{recipe.name}-{vocab_size}-{digest[:12]}",
        fingerprint=recipe.fingerprint(vocab_size),
        slices=tuple(slices),
        files=files,
        digest=digest,
    )


def _tokenizer(recipe: Recipe, texts: Sequence[str], vocab_size: int) -> "Tokenizer":
    pretrained = vocab_size in recipe.pretrained
    tokenizer = recipe.pretrained[vocab_size]() if pretrained else train_tokenizer(texts, vocab_size)
    tokenizer.encode_special_tokens = True  # a text's literal end-of-text stays text
    return tokenizer


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> "Tokenizer":
    """A byte-level BPE whose merges are learned from an even sample of the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    every = max(1, sum(map(len, texts)) // TOKENIZER_SAMPLE)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts[::every], trainer)
    return tokenizer


def _read(recipe: Recipe, say: Say) -> tuple[list[Document], dict[str, int]]:
    """Documents in the order of their hashes, and how many duplicates each slice lost."""
    documents: dict[bytes, Document] = {}
    read: dict[str, int] = {}
    for part in recipe.slices:
        say(f"reading {part.name}")
        texts = [text for text in part.read() if text.strip()]
        read[part.name] = len(texts)
        for text in texts:
            key = hashlib.sha256(text.encode()).digest()
            documents.setdefault(key, Document(key, part.name, text))
    say("looking for near-duplicates")
    ordered = list(documents.values())  # earlier slices keep what later ones repeat
    repeated = near_duplicates([document.text for document in ordered])
    kept = sorted(itertools.compress(ordered, (not mark for mark in repeated)), key=lambda document: document.key)
    for document in kept:
        read[document.slice] -= 1
    return kept, read


def _write_tokens(
    tokenizer: "Tokenizer", documents: list[Document], folder: Path, one_in: int
) -> dict[str, tuple[int, int]]:
    """Write `train.bin`, `heldout.bin` and `heldout.csv`; (training, held-out) tokens of each slice."""
    boundary = max(documents[0].key, (2**256 // one_in).to_bytes(32))  # at least one is held out
    counts = {document.slice: (0, 0) for document in documents}
    with (
        open(folder / "train.bin", "wb") as train,
        open(folder / "heldout.bin", "wb") as heldout,
        open(folder / "heldout.csv", "w", encoding="utf-8", newline="") as table,
    ):
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["start", "stop", "slice", "n_bytes"])
        position = 0
        for document, tokens in zip(documents, encoded(tokenizer, (one.text for one in documents)), strict=True):
            n_train, n_heldout = counts[document.slice]
            if document.key > boundary:
                train.write(tokens.tobytes())
                counts[document.slice] = n_train + len(tokens), n_heldout
            else:
                heldout.write(tokens.tobytes())
                rows.writerow([position, position + len(tokens), document.slice, len(document.text.encode())])
                position += len(tokens)
                counts[document.slice] = n_train, n_heldout + len(tokens)
    return counts


def encoded(tokenizer: "Tokenizer", texts: Iterable[str]) -> Iterator[Tokens]:
    """Token ids of each text, followed by the end-of-text token."""
    end = corpora.end_of_text(tokenizer)
    pending = iter(texts)
    while chunk := list(itertools.islice(pending, ENCODED_AT_ONCE)):
        for encoding in tokenizer.encode_batch_fast(chunk):
            yield np.array([*encoding.ids, end], dtype=np.uint16)


def _record(part: TextSlice, documents: list[Document], dropped: int, n_train: int, n_heldout: int) -> SliceRecord:
    own = [document for document in documents if document.slice == part.name]
    return SliceRecord(
        name=part.name,
        prose=part.prose,
        licence=part.licence,
        sources=part.sources,
        n_documents=len(own),
        n_duplicates=dropped,
        n_bytes=sum(len(document.text.encode()) for document in own),
        n_train_tokens=n_train,
        n_heldout_tokens=n_heldout,
        sha256=hashlib.sha256(b"".join(document.key for document in own)).hexdigest(),
    )
