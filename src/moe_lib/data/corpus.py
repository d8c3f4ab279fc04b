"""A prepared corpus on disk: tokens, tokenizer, and a manifest that describes them.

Layout under `<root>/corpora`: `<name>-<vocab_size>.json` is the manifest. It names the folder
`<name>-<vocab_size>-<digest>` with the tokens, and it is replaced atomically: a reader sees either the old corpus or
the new one, complete.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from moe_lib.errors import InputError
from moe_lib.files import sha256_of
from moe_lib.reading import LARGEST_SETTINGS, read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Tokens = npt.NDArray[np.uint16]

END_OF_TEXT = "<|endoftext|>"
MAX_VOCAB_SIZE = 65_535  # tokens are stored as uint16
FILES = ("train.bin", "heldout.bin", "heldout.csv", "tokenizer.json")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Record):
    """One file of a corpus: its size in bytes and its SHA-256."""

    n_bytes: int
    sha256: str


class SliceRecord(_Record):
    """One named slice of the mixture, counted without duplicates (bytes of UTF-8 text)."""

    name: str
    prose: bool
    licence: str
    sources: dict[str, str]
    n_documents: int
    n_duplicates: int
    n_bytes: int
    n_train_tokens: int
    n_heldout_tokens: int
    sha256: str


class Manifest(_Record):
    """What a corpus is made of; `digest` identifies its tokens and its tokenizer together."""

    name: str
    vocab_size: int
    folder: str
    fingerprint: str
    slices: tuple[SliceRecord, ...]
    files: dict[str, FileRecord]
    digest: str

    @property
    def n_train_tokens(self) -> int:
        """Training tokens of all slices."""
        return sum(part.n_train_tokens for part in self.slices)

    @property
    def prose_share(self) -> float:
        """Share of English prose in the bytes of all slices."""
        return sum(part.n_bytes for part in self.slices if part.prose) / sum(part.n_bytes for part in self.slices)


@dataclass(frozen=True)
class TokenCorpus:
    """A prepared corpus: documents as token ids (uint16), each ended by the end-of-text token."""

    root: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The name of the corpus."""
        return self.manifest.name

    @property
    def vocab_size(self) -> int:
        """Number of token ids; every id is below it."""
        return self.manifest.vocab_size

    @property
    def digest(self) -> str:
        """SHA-256 that identifies the tokens and the tokenizer."""
        return self.manifest.digest

    @cached_property
    def train(self) -> Tokens:
        """Training tokens, 1-D, memory-mapped."""
        return np.memmap(self.root / "train.bin", dtype=np.uint16, mode="r")

    @cached_property
    def heldout(self) -> Tokens:
        """Held-out tokens, 1-D, memory-mapped."""
        return np.memmap(self.root / "heldout.bin", dtype=np.uint16, mode="r")

    @cached_property
    def heldout_documents(self) -> pd.DataFrame:
        """Held-out documents: `start` and `stop` in `heldout`, `slice`, and `n_bytes` of their text."""
        return pd.read_csv(self.root / "heldout.csv")

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The byte-level BPE of this corpus."""
        return read_tokenizer(self.root / "tokenizer.json")

    def opened(self) -> "TokenCorpus":
        """This corpus with all its files open, so that a run keeps its tokens even if a new build removes them."""
        _ = self.train, self.heldout, self.heldout_documents, self.tokenizer
        return self

    def require_unchanged(self) -> None:
        """`InputError` if the tokens are no longer those of the manifest: somebody wrote into the open files."""
        for name, tokens in (("train.bin", self.train), ("heldout.bin", self.heldout)):
            if hashlib.sha256(tokens.data).hexdigest() != self.manifest.files[name].sha256:
                raise InputError(
                    f"{self.root / name}: was changed while it was read, so the result is not that of corpus = "
                    f"'{self.name}'; prepare the corpus again, and train in a new folder"
                )

    @property
    def end_of_text(self) -> int:
        """Id of the token that ends every document."""
        return end_of_text(self.tokenizer)


def read_tokenizer(path: Path) -> "Tokenizer":
    """A tokenizer from its file; `InputError` if it is damaged. A text's literal end-of-text stays text."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(read_text(path))
    except OSError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"{path}: is not a tokenizer ({str(error).splitlines()[0]})") from None
    tokenizer.encode_special_tokens = True
    return tokenizer


def end_of_text(tokenizer: "Tokenizer") -> int:
    """Id of the token that ends every document; `InputError` if the tokenizer has none."""
    token = tokenizer.token_to_id(END_OF_TEXT)
    if token is None:
        raise InputError(f"tokenizer has no token {END_OF_TEXT}, which has to end every document")
    return token


def corpora_folder(root: Path | None = None) -> Path:
    """The folder of corpora: in `root`, else in the environment's MOE_LIB_DATA, else in the user's cache folder."""
    return (root or data_root()) / "corpora"


def data_root() -> Path:
    """The folder for everything this package downloads or builds."""
    named = os.path.expanduser(os.environ.get("MOE_LIB_DATA", ""))  # a `~` that no shell expanded
    return Path(os.path.abspath(named) if named else platformdirs.user_cache_dir("moe-lib"))


def manifest_path(name: str, vocab_size: int, root: Path | None = None) -> Path:
    """The path of a corpus's manifest, which need not exist."""
    return corpora_folder(root) / f"{name}-{vocab_size}.json"


def read_corpus(path: Path) -> TokenCorpus:
    """The corpus of an existing manifest; `InputError` if manifest and tokens do not match."""
    try:
        manifest = Manifest.model_validate_json(read_text(path, LARGEST_SETTINGS))
    except ValidationError:
        raise InputError(f"{path}: is not the manifest of a corpus; prepare the corpus again") from None
    folder = path.parent / manifest.folder
    for name in FILES:
        found = folder / name
        record = manifest.files.get(name)
        fits = record and found.is_file() and found.stat().st_size == record.n_bytes
        if not record or not fits or sha256_of(found) != record.sha256:
            raise InputError(
                f"{path}: does not match its tokens ({name} is missing or changed); prepare the corpus again"
            )
    if digest_of(manifest.files) != manifest.digest:
        raise InputError(f"{path}: does not match its tokens (the digest differs); prepare the corpus again")
    return TokenCorpus(root=folder, manifest=manifest).opened()


def file_record(path: Path) -> FileRecord:
    """Size and SHA-256 of a file."""
    return FileRecord(n_bytes=path.stat().st_size, sha256=sha256_of(path))


def digest_of(files: dict[str, FileRecord]) -> str:
    """SHA-256 over the SHA-256 of a corpus's files, in a fixed order."""
    return hashlib.sha256("".join(files[name].sha256 for name in FILES).encode()).hexdigest()
