"""The ledger: one JSON row a run, keyed by the hash of its configuration; rows never vanish and never double.

Rows are appended under a lock and written whole or not at all: a line that a kill or a full disk cut short is taken
off before the next row is written. Everything in the book is computed from here.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from moe_lib.errors import InputError

Row = dict[str, Any]


BOOK_LEDGER = Path(__file__).resolve().parents[2] / "experiments" / "results" / "runs.jsonl"


class Ledger:
    """An append-only file of rows, each with a unique `key`. Safe for several processes on one machine."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def rows(self) -> list[Row]:
        """Every row in the order it was written; `InputError` names a line that is no row."""
        return list(self._parse(self.path.read_bytes())) if self.path.exists() else []

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
            end = content.rfind(b"\n") + 1
            if any(old["key"] == row["key"] for old in self._parse(content)):
                return False
            os.ftruncate(descriptor, end)
            try:
                os.pwrite(descriptor, line, end)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        return True

    def table(self) -> pd.DataFrame:
        """The rows as a table, nested fields joined by dots (`model.d_model`)."""
        return pd.json_normalize(self.rows())

    def _parse(self, content: bytes) -> Iterator[Row]:
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
                row["key"]
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{self.path}: line {number} is no row with a key") from None
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
    if not BOOK_LEDGER.exists():
        raise InputError(f"{BOOK_LEDGER}: the book's ledger is not there; work in a checkout of the repository")
    return Ledger(BOOK_LEDGER)


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        return stream.read()
