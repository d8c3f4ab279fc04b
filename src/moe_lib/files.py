"""Files that exist whole or not at all, and that one process changes at a time."""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moe_lib.errors import InputError, Notice
from moe_lib.reading import open_regular

PATIENCE = 5.0  # seconds that a wait for a lock may last without a word
OPENINGS = 100  # to open a lock in a folder that its last holder is removing


@contextmanager
def whole_file(path: Path, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path; on success fsync it and rename it to `path`, on error remove it.

    A file that it replaces keeps its permissions. With `new` nothing is replaced: `InputError` if `path` exists, even
    if another process made it meanwhile.

    It is in a folder of its own beside `path`, with whatever else the writer puts beside its file; if a kill leaves
    that folder, the next writer of `path` removes it. An `OSError` of writing it names `path`.
    """
    try:
        scratch, held = _new_scratch(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    temporary = scratch / path.name
    try:
        yield temporary
        usual = scratch / ".permissions"  # some writers make a file that only its owner may read
        usual.touch()
        temporary.chmod(stat.S_IMODE((path if path.is_file() and not path.is_symlink() else usual).stat().st_mode))
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        if new:
            os.link(temporary, path)
        else:
            temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if new and isinstance(error, FileExistsError):
            raise InputError(f"{path}: exists already; choose another name or remove it") from None
        if error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(held)


def _new_scratch(path: Path) -> tuple[Path, int]:
    """A new folder beside `path`, and a descriptor that locks it; the folders of killed writers of `path` are removed.

    Their locks ended with them. If the file system has no locks, nothing is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        for name in os.listdir(path.parent):
            if is_temporary_of(name, re.escape(path.name)):
                _remove_unless_locked(path.with_name(name))
    while True:
        # Processes in two containers may have one number, and threads of a process always have.
        scratch = path.with_name(f".{path.name}.{os.getpid()}{secrets.randbelow(10**9):09}.tmp")
        scratch.mkdir()
        with suppress(FileNotFoundError):  # another writer took it for a leftover before it was locked
            descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(descriptor, scratch):
                return scratch, descriptor
            os.close(descriptor)


def _remove_unless_locked(folder: Path) -> None:
    with suppress(OSError):  # a link or a file, or its writer lives
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def is_temporary_of(name: str, pattern: str) -> bool:
    """Whether a file name is one that `whole_file` makes for a path whose whole name fits `pattern`."""
    return re.fullmatch(rf"\.(?:{pattern})\.[0-9]+\.tmp", name) is not None


def remove_temporaries(folder: Path, pattern: str) -> None:
    """Remove what killed writers of names that fit `pattern` left in `folder`; nobody else may be writing there."""
    for path in folder.iterdir():
        if is_temporary_of(path.name, pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock of a file, made if it is missing, and yield a descriptor to read and write it.

    It is the file that is at `path` once the lock is held, also if another one took its place meanwhile. `InputError`
    if it is not a regular file. If another process holds the lock, `on_wait` is called at once; without it, a wait of
    more than a few seconds is said in a `Notice`.
    """
    while True:
        descriptor = _open_to_lock(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if on_wait is not None:
                    on_wait()
                elif not _free_soon(descriptor):
                    warnings.warn(f"{path}: another process holds its lock; this one waits", Notice, stacklevel=4)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(descriptor, path):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _free_soon(descriptor: int) -> bool:
    """Whether a lock could be taken within `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.02)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


@contextmanager
def only_builder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` to build it in, while no other process does; what a killed one left is removed."""
    folder = path.with_name(f".building-{path.name}")
    with locked(path.with_name(f".{path.name}.lock")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that is at `path` now."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


def _open_to_lock(path: Path) -> int:
    for _ in range(OPENINGS):
        with suppress(FileNotFoundError, FileExistsError):  # the folder vanished meanwhile, or something else is wrong
            path.parent.mkdir(parents=True, exist_ok=True)
            return open_regular(path, os.O_RDWR | os.O_CREAT)
    path.parent.mkdir(parents=True, exist_ok=True)
    return open_regular(path, os.O_RDWR | os.O_CREAT)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (no effect if folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a regular file's bytes, as hexadecimal; `InputError` if it is not one."""
    with os.fdopen(open_regular(path), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
