"""A run's folder: its owner, and the run's files `run.json`, `model.safetensors`, `tokenizer.json`, written whole.

`run.json` is written first, so the folder belongs to one run from the beginning; `digests.json` is written last and
says what the others have to be. A folder that a sweep made also has the empty file `sweep`, until another command
trains there: only with it may the sweep remove the folder.
"""

import errno
import json
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from moe_lib.accounting import count_parameters
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.data.corpus import read_tokenizer
from moe_lib.errors import InputError, Notice
from moe_lib.files import is_temporary_of, locked, remove_temporaries, sha256_of, whole_file
from moe_lib.model import Transformer
from moe_lib.reading import open_regular, read_json

TENSORS = r"step-[0-9]{8,}\.safetensors"
CHECKPOINT = rf"{TENSORS}|step-[0-9]{{8,}}\.json"
FILES = ("run.json", "model.safetensors", "tokenizer.json")
DIGESTS = "digests.json"
OWN = "|".join([*map(re.escape, [*FILES, DIGESTS]), CHECKPOINT])  # names in a run's folder that are its own
EMPTY = ("sweep", "lock")  # further ones, of empty files


@contextmanager
def own_folder(folder: Path, run: RunConfig, of_sweep: bool = False) -> Iterator[None]:
    """Hold the folder of a run, cleared of a killed process's files; a second process waits until the first has ended.

    With `of_sweep` a new folder is marked as a sweep's; without, the folder loses such a mark. Raises `InputError` if
    it belongs to another run, or is not empty and not a run's at all; nothing in it is then touched. If the run is
    rejected before anything is trained, a folder created for it is removed.
    """
    new = not folder.exists()
    _require_own(folder, run)
    with locked(folder / "lock", on_wait=lambda: _say_that_it_waits(folder)):
        claimed = _claim(folder, run, of_sweep)
        remove_temporaries(folder, OWN)
        try:
            yield
        except InputError:
            trained = any(re.fullmatch(OWN, path.name) for path in folder.glob("*") if path.name != "run.json")
            if claimed and not trained:
                (folder / "run.json").unlink(missing_ok=True)
                (folder / "sweep").unlink(missing_ok=True)
            if new and not trained:
                (folder / "lock").unlink(missing_ok=True)
                with suppress(OSError):  # not empty: it has files that may matter to somebody
                    folder.rmdir()
            raise


def require_outside(folder: Path, file: Path, option: str) -> None:
    """`InputError` if a file would be one of those that a run's folder keeps for itself."""
    place = Path(os.path.realpath(file))
    if place.parent == Path(os.path.realpath(folder)) and re.fullmatch("|".join([*EMPTY, OWN]), place.name):
        raise InputError(f"{option} = {file}: is a name that the run's folder needs for itself; choose another")


def _say_that_it_waits(folder: Path) -> None:
    warnings.warn(
        f"{folder}: another process is training here; this one continues when it has ended", Notice, stacklevel=5
    )


def _require_own(folder: Path, run: RunConfig) -> bool:
    """Whether a folder has the `run.json` of this run; `InputError` if it has another run's, or other foreign files."""
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return False
    taken = {name for name in names & {*EMPTY} if not _is_empty(folder / name)}
    if "run.json" in names:
        with suppress(FileNotFoundError):  # its last holder is removing it
            _require_same(folder / "run.json", run)
            if taken:
                raise InputError(f"{folder / min(taken)}: has to be an empty file of the run's own; remove it")
            return True
    others = {name for name in names - {*EMPTY, "run.json"} if not is_temporary_of(name, r"run\.json")} | taken
    if others and "run.json" not in names:
        raise InputError(f"{folder}: is not empty and not the folder of a run (it has {min(others)}); choose another")
    return False


def _is_empty(path: Path) -> bool:
    """Whether a file is regular and empty, or vanished meanwhile."""
    with suppress(FileNotFoundError):
        about = path.lstat()
        return stat.S_ISREG(about.st_mode) and not about.st_size
    return True


def _require_same(path: Path, run: RunConfig) -> None:
    try:
        existing = RunConfig(**read_json(path))
    except (InputError, TypeError):
        raise InputError(f"{path}: does not describe a run, or is damaged; choose another folder") from None
    if existing != run:
        raise InputError(f"{path.parent}: belongs to run {existing.key}, and this is {run.key}; choose another folder")


def _claim(folder: Path, run: RunConfig, of_sweep: bool) -> bool:
    """Claim the folder for this run; whether it was free before. `InputError` if it is another's."""
    was_ours = _require_own(folder, run)
    if not of_sweep:
        (folder / "sweep").unlink(missing_ok=True)
    if was_ours:
        return False
    if of_sweep:
        (folder / "sweep").touch()
    with whole_file(folder / "run.json") as temporary:
        temporary.write_text(run.model_dump_json(indent=2), encoding="utf-8")
    return True


def remove_run(folder: Path) -> None:
    """Remove the own files of a run in a sweep's folder, and the folder unless something else is in it; leave a folder
    that is not a sweep's as it is. Whoever calls this holds the folder.

    The lock is removed last, so whoever waits for it finds nothing half-removed.
    """
    if not (folder / "sweep").exists():
        return
    own = [name for name in os.listdir(folder) if re.fullmatch(OWN, name)]
    for name in [*sorted(own, key=lambda name: name == "run.json"), *EMPTY]:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def save_run(folder: Path, run: RunConfig, model: Transformer, corpus: TokenCorpus) -> None:
    """Write a run's configuration, weights and tokenizer, then their digests; a tied matrix is stored once."""
    with whole_file(folder / "run.json") as temporary:
        temporary.write_text(run.model_dump_json(indent=2), encoding="utf-8")
    save_tensors(folder / "model.safetensors", {name: weight.detach() for name, weight in model.named_parameters()})
    with whole_file(folder / "tokenizer.json") as temporary:
        temporary.write_text(corpus.tokenizer.to_str(), encoding="utf-8")
    with whole_file(folder / DIGESTS) as temporary:
        digests = {"corpus": corpus.digest, "files": {name: sha256_of(folder / name) for name in FILES}}
        temporary.write_text(json.dumps(digests, indent=2), encoding="utf-8")


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole; `OSError` if the disk fails."""
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, about)
        except SafetensorError as error:  # its message includes the system's: "No space left on device"
            raise OSError(errno.EIO, str(error)) from None


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; `ValueError` if it is damaged, `OSError` if it cannot be read."""
    os.close(open_regular(path))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def load_run(folder: Path) -> tuple[RunConfig, Transformer]:
    """A trained run; `InputError` if the folder has none, or its files are damaged or do not match."""
    path = folder / "model.safetensors"
    try:
        run = RunConfig(**read_json(folder / "run.json"))
        _require_unchanged(folder)
        tensors = load_tensors(path)
    except FileNotFoundError as error:
        if (folder / DIGESTS).exists():
            raise InputError(f"{folder}: {Path(error.filename).name} is missing; train the run again") from None
        raise InputError(f"{folder}: has no trained run; run: moe-lib train RUN.yaml --out {folder}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder}: has a damaged run ({error}); train it again") from None
    if sum(weight.numel() for weight in tensors.values()) == count_parameters(run.model).total:
        model = Transformer(run.model)
        shapes = {name: (weight.shape, weight.dtype) for name, weight in model.named_parameters()}
        if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} == shapes:
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                raise InputError(f"{path}: has weights that are not finite; train the run again")
            model.load_state_dict(tensors, strict=False)
            return run, model.eval()
    raise InputError(f"{folder}: model.safetensors does not match run.json; train the run again")


def _digests(folder: Path) -> dict[str, Any]:
    """What `digests.json` records, {} for a run of an earlier version; `ValueError` if it is damaged."""
    try:
        digests: dict[str, Any] = read_json(folder / DIGESTS)
    except FileNotFoundError:
        return {}
    kinds = {name: type(value) for name, value in digests.items()} if isinstance(digests, dict) else {}
    if kinds != {"corpus": str, "files": dict}:
        raise ValueError(f"{DIGESTS} is not what training writes")
    return digests


def _require_unchanged(folder: Path) -> None:
    """`ValueError` if the files of a run are not those that its training left together."""
    digests = _digests(folder)
    for name in FILES if digests else ():
        if sha256_of(folder / name) != digests["files"].get(name):
            raise ValueError(f"{name} does not match {DIGESTS}: it is not the file that training left")


def require_corpus(folder: Path, corpus: TokenCorpus, own: bool) -> None:
    """`InputError` if a corpus has another tokenizer than the trained run, since losses of other tokens do not compare,
    or, if it has to be the run's `own`, another text."""
    trained_on = _digests(folder).get("corpus", corpus.digest)
    if own and trained_on != corpus.digest:
        raise InputError(
            f"corpus = '{corpus.name}' was changed after {folder} was trained on it (digest {trained_on:.12}, now "
            f"{corpus.digest:.12}); prepare it again from the earlier text, or name another corpus"
        )
    if load_tokenizer(folder).to_str() != corpus.tokenizer.to_str():
        raise InputError(
            f"corpus = '{corpus.name}' has another tokenizer than the one {folder} was trained with; give the corpus "
            "that it was trained on"
        )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a trained run's corpus; `InputError` if it is missing or damaged."""
    path = folder / "tokenizer.json"
    try:
        return read_tokenizer(path)
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; train the run again") from None
