"""From text to tokens: `prepare` builds a corpus or finds that it stands; `open_corpus` reads one that stands."""

import csv
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moe_lib.data import corpus as corpora
from moe_lib.data.corpus import END_OF_TEXT, FILES, MAX_VOCAB_SIZE, Manifest, SliceRecord, TokenCorpus
from moe_lib.data.slices import TextSlice, document_key, embedded_slices, path_slices
from moe_lib.errors import InputError
from moe_lib.files import whole_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUILD = 1  # part of the fingerprint: goes up when the same sources would give other tokens
MIN_VOCAB_SIZE = 257  # every byte and the end of text
HELDOUT_ONE_IN = 32
TOKENIZER_SAMPLE = 6_000_000  # characters of training text that the merges are learned from
CHUNK = 512  # documents encoded at once

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """What a corpus is made from."""

    name: str
    slices: Sequence[TextSlice]

    def fingerprint(self, vocab_size: int) -> str:
        """Stands for the text without reading it: equal recipes give equal tokens."""
        parts = [[part.name, part.sources] for part in self.slices]
        return hashlib.sha256(json.dumps([BUILD, vocab_size, parts], sort_keys=True).encode()).hexdigest()


def prepare(
    corpus: str = "embedded", vocab_size: int = 1024, root: Path | None = None, say: Say = lambda line: None
) -> TokenCorpus:
    """Build a corpus, or verify in seconds the one that stands.

    `corpus` is `embedded`, or a file or folder of text. An interrupted build leaves the old corpus intact.
    Raises `InputError` for a corpus that cannot be found, text that is empty, a vocabulary out of range.
    """
    if not MIN_VOCAB_SIZE <= vocab_size <= MAX_VOCAB_SIZE:
        raise InputError(f"vocab_size = {vocab_size} has to lie in [{MIN_VOCAB_SIZE}, {MAX_VOCAB_SIZE}]")
    recipe = find_recipe(corpus)
    path = corpora.manifest_path(recipe.name, vocab_size, root)
    fingerprint = recipe.fingerprint(vocab_size)
    if path.exists():
        try:
            standing = corpora.read_corpus(path)
            if standing.manifest.fingerprint == fingerprint:
                return standing
            say("the sources have changed: building anew")
        except InputError as error:
            say(f"{error}: building anew")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=path.parent) as temporary:
        return _publish(_build(recipe, vocab_size, fingerprint, Path(temporary), say), Path(temporary), path)


def open_corpus(corpus: str = "embedded", vocab_size: int = 1024, root: Path | None = None) -> TokenCorpus:
    """A corpus that has been prepared; `InputError` where it has not, or where manifest and tokens do not fit."""
    path = corpora.manifest_path(recipe_name(corpus), vocab_size, root)
    if not path.exists():
        raise InputError(
            f"corpus = '{corpus}' with vocab_size = {vocab_size} is not prepared; "
            f"run: moe-lib data prepare --corpus {corpus} --vocab-size {vocab_size}"
        )
    return corpora.read_corpus(path)


def recipe_name(corpus: str) -> str:
    """The name a corpus is kept under: its own, or for a path the stem and a hash of where it lies."""
    if corpus == "embedded":
        return corpus
    path = Path(corpus).resolve()
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', path.stem)}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def find_recipe(corpus: str) -> Recipe:
    """The recipe of a known corpus or of a path; `InputError` where it is neither."""
    name = recipe_name(corpus)
    if corpus == "embedded":
        return Recipe(name, embedded_slices())
    if not Path(corpus).exists():
        raise InputError(f"corpus = '{corpus}' has to be embedded, or a file or folder of text that exists")
    return Recipe(name, path_slices(Path(corpus).resolve()))


def _build(recipe: Recipe, vocab_size: int, fingerprint: str, folder: Path, say: Say) -> Manifest:
    texts: dict[str, dict[bytes, str]] = {}
    duplicates: dict[str, int] = {}
    seen: set[bytes] = set()
    for part in recipe.slices:
        say(f"reading {part.name}")
        documents = [text for text in part.read() if text.strip()]
        kept = {document_key(text): text for text in documents}
        kept = {key: kept[key] for key in sorted(kept.keys() - seen)}
        seen |= kept.keys()
        texts[part.name], duplicates[part.name] = kept, len(documents) - len(kept)
    if len(seen) < 2:
        raise InputError(f"corpus = '{recipe.name}' holds {len(seen)} documents with text, and two are the least")
    boundary = max(min(seen), (2**256 // HELDOUT_ONE_IN).to_bytes(32))

    say("learning the tokenizer")
    tokenizer = train_tokenizer([text for kept in texts.values() for text in kept.values()], vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))

    records = []
    with (
        open(folder / "train.bin", "wb") as train,
        open(folder / "heldout.bin", "wb") as heldout,
        open(folder / "heldout.csv", "w", encoding="utf-8", newline="") as table,
    ):
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["start", "stop", "slice", "n_bytes"])
        position = 0
        for part in recipe.slices:
            say(f"encoding {part.name}")
            n_train = n_heldout = 0
            for key, text, tokens in _encoded(tokenizer, texts[part.name]):
                if key > boundary:
                    train.write(tokens.tobytes())
                    n_train += len(tokens)
                else:
                    heldout.write(tokens.tobytes())
                    rows.writerow([position, position + len(tokens), part.name, len(text.encode())])
                    position += len(tokens)
                    n_heldout += len(tokens)
            records.append(_slice_record(part, texts[part.name], duplicates[part.name], n_train, n_heldout))
    if not sum(record.n_train_tokens for record in records):
        raise InputError(f"corpus = '{recipe.name}' is too small: no document is left to train on")
    files = {name: corpora.file_record(folder / name) for name in FILES}
    digest = corpora.digest_of(files)
    return Manifest(
        name=recipe.name,
        vocab_size=vocab_size,
        folder=f"{recipe.name}-{vocab_size}-{digest[:12]}",
        fingerprint=fingerprint,
        slices=tuple(records),
        files=files,
        digest=digest,
    )


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


def _encoded(tokenizer: "Tokenizer", texts: dict[bytes, str]) -> Iterator[tuple[bytes, str, corpora.Tokens]]:
    end = corpora.end_of_text(tokenizer)
    keys = list(texts)
    for first in range(0, len(keys), CHUNK):
        chunk = keys[first : first + CHUNK]
        for key, encoding in zip(chunk, tokenizer.encode_batch_fast([texts[key] for key in chunk]), strict=True):
            yield key, texts[key], np.array([*encoding.ids, end], dtype=np.uint16)


def _slice_record(
    part: TextSlice, texts: dict[bytes, str], duplicates: int, n_train: int, n_heldout: int
) -> SliceRecord:
    return SliceRecord(
        name=part.name,
        prose=part.prose,
        licence=part.licence,
        sources=part.sources,
        n_documents=len(texts),
        n_duplicates=duplicates,
        n_bytes=sum(len(text.encode()) for text in texts.values()),
        n_train_tokens=n_train,
        n_heldout_tokens=n_heldout,
        sha256=hashlib.sha256(b"".join(texts)).hexdigest(),
    )


def _publish(manifest: Manifest, built: Path, path: Path) -> TokenCorpus:
    """Put the built files in place; the manifest, replaced in one step, comes last, and then the old tokens go."""
    folder = path.parent / manifest.folder
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (built / name).replace(folder / name)
    with whole_file(path) as temporary:
        temporary.write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    for old in path.parent.glob(f"{manifest.name}-{manifest.vocab_size}-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return TokenCorpus(root=folder, manifest=manifest)
