"""A run's folder: whose it is, and what is left there: `run.json`, `model.safetensors`, `tokenizer.json`, each whole.

`run.json` is the first file, so that the folder belongs to one run from its beginning.
"""

import errno
import fcntl
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError, Notice
from moe_lib.files import remove_temporaries, whole_file
from moe_lib.model import Transformer

TRIES = 100  # to open the lock of a folder that its last holder is removing


@contextmanager
def own_folder(folder: Path, run: RunConfig) -> Iterator[None]:
    """Hold the folder of a run, free of what a kill left; a second process waits until the first has ended.

    Raises `InputError` where it belongs to another run. Where the run is refused, a new folder goes again.
    """
    new = not folder.exists()
    with _lock(folder):
        claimed = _claim(folder, run)
        remove_temporaries(folder)
        try:
            yield
        except InputError:
            if claimed:
                (folder / "run.json").unlink(missing_ok=True)
            if new:
                (folder / "lock").unlink(missing_ok=True)
                with suppress(OSError):  # not empty: something of worth is in it
                    folder.rmdir()
            raise


def _lock(folder: Path) -> IO[str]:
    """The lock of a folder, held; its last holder may have removed the folder, and then it is made again."""
    while True:
        lock = _open_lock(folder)
        _wait_for(lock, folder)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(folder / "lock")):
                return lock
        lock.close()


def _open_lock(folder: Path) -> IO[str]:
    for _ in range(TRIES):
        with suppress(FileNotFoundError, FileExistsError):  # the folder vanished meanwhile, or something else is wrong
            folder.mkdir(parents=True, exist_ok=True)
            return open(folder / "lock", "w")
    folder.mkdir(parents=True, exist_ok=True)
    return open(folder / "lock", "w")


def _wait_for(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        warnings.warn(
            f"{folder}: another process is training here; this one goes on when it has ended", Notice, stacklevel=5
        )
        fcntl.flock(lock, fcntl.LOCK_EX)


def _claim(folder: Path, run: RunConfig) -> bool:
    """Write `run.json` where there is none (True); `InputError` where another run's is there."""
    path = folder / "run.json"
    try:
        standing = RunConfig(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        with whole_file(path) as temporary:
            temporary.write_text(run.model_dump_json(indent=2), encoding="utf-8")
        return True
    except (ValueError, TypeError):
        raise InputError(f"{path}: is damaged; remove {folder} or choose another folder") from None
    if standing != run:
        raise InputError(f"{folder}: belongs to run {standing.key}, this is {run.key}; choose another folder")
    return False


def save_run(folder: Path, run: RunConfig, model: Transformer, corpus: TokenCorpus) -> None:
    """Write a run's configuration, weights and tokenizer; a tied matrix is stored once."""
    with whole_file(folder / "run.json") as temporary:
        temporary.write_text(run.model_dump_json(indent=2), encoding="utf-8")
    save_tensors(folder / "model.safetensors", {name: weight.detach() for name, weight in model.named_parameters()})
    with whole_file(folder / "tokenizer.json") as temporary:
        temporary.write_text(corpus.tokenizer.to_str(), encoding="utf-8")


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole; `OSError` where the disk refuses."""
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, about)
        except SafetensorError as error:  # its words hold the system's: "No space left on device"
            raise OSError(errno.EIO, str(error)) from None


def load_run(folder: Path) -> tuple[RunConfig, Transformer]:
    """A trained run; `InputError` where the folder holds none, or its files do not fit."""
    try:
        run = RunConfig(**json.loads((folder / "run.json").read_text(encoding="utf-8")))
        tensors = load_file(folder / "model.safetensors")
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no trained run; run: moe-lib train RUN.yaml --out {folder}") from None
    except (ValueError, TypeError, SafetensorError) as error:
        raise InputError(f"{folder}: holds a damaged run ({error}); train it again") from None
    model = Transformer(run.model)
    weights = dict(model.named_parameters())
    if {name: w.shape for name, w in tensors.items()} != {name: w.shape for name, w in weights.items()}:
        raise InputError(f"{folder}: model.safetensors does not fit run.json; train the run again")
    model.load_state_dict(tensors, strict=False)
    return run, model.eval()


def require_tokenizer(folder: Path, corpus: TokenCorpus) -> None:
    """`InputError` where a corpus has another tokenizer than the trained run's: its losses would be of other tokens."""
    if load_tokenizer(folder).to_str() != corpus.tokenizer.to_str():
        raise InputError(
            f"corpus = '{corpus.name}' has another tokenizer than the one {folder} was trained with; give the corpus "
            "that it was trained on"
        )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a trained run's corpus; `InputError` where it is missing."""
    path = folder / "tokenizer.json"
    if not path.exists():
        raise InputError(f"{path}: is missing; train the run again")
    return Tokenizer.from_file(str(path))
