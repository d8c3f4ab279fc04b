"""The ledger: one JSON row a run, keyed by the hash of its configuration; rows never vanish and never double.

Rows are appended under a lock and written whole or not at all: a line that a kill or a full disk cut short counts for
nothing and is taken off before the next row is written. Everything in the book is computed from here.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from moe_lib.errors import InputError
from moe_lib.repository import LEDGER, require

Row = dict[str, Any]


class Ledger:
    """An append-only file of rows, each with a unique `key`. Safe for several processes on one machine."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def rows(self) -> list[Row]:
        """Every row in the order it was written; `InputError` names a line that is no row, or repeats a key."""
        return list(self._parse(self.path.read_bytes())) if self.path.exists() else []

    def select(self, keys: Iterable[str]) -> list[Row]:
        """The rows with these keys, in the order of the keys; those that are not there are left out."""
        rows = {row["key"]: row for row in self.rows()}
        return [rows[key] for key in keys if key in rows]

    def keys(self) -> set[str]:
        """Keys of the runs that are done."""
        return {row["key"] for row in self.rows()}

    def __contains__(self, key: str) -> bool:
        """Whether the run with this key is done."""
        return key in self.keys()

    def append(self, row: Row) -> bool:
        """Write one row whole and flush it to the disk; False, and nothing written, where its key is there."""
        if not row.get("key"):
            raise InputError("key is missing: a row of the ledger needs the key of its run")
        line = json.dumps(row, sort_keys=True, allow_nan=False).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as descriptor:
            content = _read_all(descriptor)
            if any(old["key"] == row["key"] for old in self._parse(content)):
                return False
            end = len(_whole(content))
            gap = b"\n" if end and content[end - 1 : end] != b"\n" else b""  # a last row that somebody wrote by hand
            os.ftruncate(descriptor, end)
            try:
                _write_all(descriptor, gap + line, end)
                os.fsync(descriptor)
            except OSError as error:
                os.ftruncate(descriptor, end)
                raise OSError(error.errno, error.strerror, str(self.path)) from error
        return True

    def require_writable(self) -> None:
        """Raise what would go wrong when a row is appended, before a run is paid for: `InputError` or `OSError`."""
        self.rows()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            os.close(os.open(self.path, os.O_RDWR))
        else:
            tempfile.TemporaryFile(dir=self.path.parent).close()

    def table(self) -> pd.DataFrame:
        """The rows as a table, nested fields joined by dots (`model.d_model`)."""
        return pd.json_normalize(self.rows())

    def _parse(self, content: bytes) -> Iterator[Row]:
        lines: dict[str, int] = {}
        for number, line in enumerate(_whole(content).splitlines(), start=1):
            try:
                row = json.loads(line)
                key = str(row["key"])
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{self.path}: line {number} is no row with a key") from None
            if key in lines:
                raise InputError(f"{self.path}: line {number} repeats the key of line {lines[key]}, {key}; remove one")
            lines[key] = number
            yield row

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def book_ledger() -> Ledger:
    """The ledger of the book's own runs; `InputError` where the package was installed without its repository."""
    return Ledger(require(LEDGER, "the book"))


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        return stream.read()


def _whole(content: bytes) -> bytes:
    """The content without a last line that was cut short; one that only lacks its end of line is whole."""
    end = content.rfind(b"\n") + 1
    try:
        json.loads(content[end:])
    except ValueError:
        return content[:end]
    return content


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write every byte: a disk that fills up takes a part of them without a word, and refuses only the next."""
    while data:
        n_written = os.pwrite(descriptor, data, offset)
        data, offset = data[n_written:], offset + n_written
