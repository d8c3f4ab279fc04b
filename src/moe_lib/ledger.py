"""The ledger: one JSON row per run, keyed by the hash of its configuration; rows are never lost or duplicated.

Rows are appended under a lock and written whole or not at all. A last line that a kill or a full disk cut short is
ignored; before the next row is written, it is moved to a file beside the ledger. Everything in the book is computed
from here.
"""

import hashlib
import json
import os
import re
import reprlib
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from moe_lib.config import RunConfig
from moe_lib.errors import InputError, Notice
from moe_lib.files import is_at, locked, whole_file
from moe_lib.reading import json_value, open_regular, read_bytes
from moe_lib.repository import LEDGER, OLD_LEDGER, require

Row = dict[str, Any]

NUMBERS = ("sparsity", "n_params", "n_params_active", "flops", "n_tokens")  # of every row
LOSSES = ("loss", "loss_standard_error")  # of every row whose run is done
BOUND = 1e300
STAMP = rb"[0-9a-f ]+(\n|\Z)"  # the first line of an index, or what a kill left of it
LONGEST_STAMP = 200
READ_AT_ONCE = 65_536  # bytes read at once when the last line is looked for


class Ledger:
    """An append-only file of rows, each with a unique `key`. Safe for several processes on one machine."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def rows(self) -> list[Row]:
        """Every row in the order it was written; `InputError` names a line that is not a valid row or repeats a key."""
        rows, cut = self._read()
        if cut:
            warnings.warn(f"{self.path}: the last line was cut short and is ignored", Notice, stacklevel=2)
        return rows

    def select(self, keys: Iterable[str]) -> list[Row]:
        """The rows with these keys, in the order of the keys; missing ones are left out."""
        rows = {row["key"]: row for row in self.rows()}
        return [rows[key] for key in keys if key in rows]

    def keys(self) -> set[str]:
        """Keys of the runs that are done."""
        with suppress(FileNotFoundError):
            if (known := _Index(self.path).keys(os.stat(self.path))) is not None:
                return set(known)
        return {row["key"] for row in self.rows()}

    def __contains__(self, key: str) -> bool:
        """Whether the run with this key is done."""
        return key in self.keys()

    def append(self, row: Row) -> bool:
        """Write one row whole, with its digest, and flush it to the disk; return False, and write nothing, if its key
        is there. Raises `InputError` for a row that `rows` would reject, and for a file that is not a ledger."""
        row = {"digest": digest_of(row)} | row
        if fault := _fault(row):
            raise InputError(f"row {row.get('key')!r} cannot be written: {fault}")
        line = json.dumps(row, sort_keys=True, allow_nan=False).encode() + b"\n"
        written = False
        while True:
            with locked(self.path) as descriptor:
                index = _Index(self.path)
                keys = index.keys(os.fstat(descriptor))
                if keys is None:
                    keys = [old["key"] for old in self._read()[0]]
                if row["key"] in keys:
                    return written
                size = self._write(descriptor, line)
                written = True
                if (now := os.fstat(descriptor)).st_size == size:
                    index.write([*keys, row["key"]], now)
                if is_at(descriptor, self.path):  # else another file has replaced it, without the row
                    return True

    def _write(self, descriptor: int, line: bytes) -> int:
        """Write a line after the last whole one; return the new size of the file."""
        end = os.fstat(descriptor).st_size
        tail = _last_line(descriptor, end)
        if self._is_cut(tail):
            end -= len(tail)
            self._keep(tail)
        elif tail:
            line = b"\n" + line  # a last row that somebody wrote by hand
        try:
            os.ftruncate(descriptor, end)
            _write_all(descriptor, line, end)
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, end)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        return end + len(line)

    def _keep(self, tail: bytes) -> None:
        """Move a line that was cut short to a file beside the ledger, with a notice."""
        beside = self.path.with_name(self.path.name + ".cut")
        descriptor = open_regular(beside, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW)
        try:
            _write_all(descriptor, tail + b"\n", os.fstat(descriptor).st_size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        warnings.warn(f"{self.path}: the last line was cut short; it is now in {beside}", Notice, stacklevel=4)

    def require_writable(self) -> None:
        """Raise the `InputError` or `OSError` that appending a row would raise, before a run is trained for it."""
        self.rows()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self.path):
            os.close(open_regular(self.path, os.O_RDWR | os.O_CREAT))
        else:
            tempfile.TemporaryFile(dir=self.path.parent).close()

    def require_corpora(self, digests: Mapping[str, str]) -> None:
        """`InputError` if a run is done on another text: `digests` maps keys of runs to the digests of their corpora.

        A key has one row, so the result of training again could not be recorded. Rows without a digest pass.
        """
        rows = [row for row in self._read()[0] if row["key"] in digests]
        other = [row for row in rows if row.get("corpus_digest", digests[row["key"]]) != digests[row["key"]]]
        if other:
            key, corpus = other[0]["key"], other[0]["config"]["corpus"]
            more = f" and {len(other) - 1} others" * (len(other) > 1)
            raise InputError(
                f"{self.path}: has run {key}{more} on another text of corpus = '{corpus}' (digest "
                f"{other[0]['corpus_digest']!s:.12}, now {digests[key]:.12}), and takes one row per run; give another "
                "ledger, or prepare the corpus again from the earlier text"
            )

    def table(self) -> pd.DataFrame:
        """The rows as a table, nested fields joined by dots (`model.d_model`)."""
        return pd.json_normalize(self.rows())

    def _read(self) -> tuple[list[Row], bool]:
        """Every row, and whether a last line was cut short."""
        try:
            *lines, last = read_bytes(self.path).split(b"\n")
        except FileNotFoundError:
            return [], False
        cut = self._is_cut(last)
        return self._parse(lines if cut or not last else [*lines, last]), cut

    def _parse(self, lines: list[bytes]) -> list[Row]:
        numbers: dict[str, int] = {}
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json_value(line)
                fault = _fault(row)
            except ValueError as error:
                row, fault = None, f"it is not JSON ({error})"
            if fault:
                raise InputError(f"{self.path}: line {number} is not a row: {fault}")
            key = row["key"]
            if key in numbers:
                raise InputError(
                    f"{self.path}: line {number} repeats the key of line {numbers[key]}, {key}; remove one"
                )
            numbers[key] = number
            rows.append(row)
        return rows

    def _is_cut(self, tail: bytes) -> bool:
        """Whether what follows the last end of line is the beginning of a row; `InputError` if it cannot be one.

        A kill leaves no carriage returns: with one, the whole file has other line endings than a ledger.
        """
        if not tail:
            return False
        with suppress(ValueError):
            json_value(tail)
            return False
        if not b'{"'.startswith(tail[:2]) or b"\r" in tail:
            raise InputError(f"{self.path}: the last line is not a row, and not the beginning of one; give a ledger")
        return True


class _Index:
    """The keys of a ledger in a file beside it, for the ledger of one size and time of change: without it, an append
    would read every row. It is a cache: if it is missing, damaged or old, the ledger is read."""

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(f".{ledger.name}.keys")

    def keys(self, now: os.stat_result) -> list[str] | None:
        """The keys, or None if they are not known for the ledger as it is now."""
        try:
            first, *keys, end = read_bytes(self.path).decode().split("\n")
        except (OSError, ValueError):
            return None
        return keys if (first, end) == (_stamp(keys, now), "") else None

    def write(self, keys: list[str], now: os.stat_result) -> None:
        """Write the keys of the ledger as it is now; if the disk fails, the index left behind is not trusted."""
        content = "\n".join([_stamp(keys, now), *keys, ""]).encode()
        with suppress(OSError, InputError):
            descriptor = open_regular(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                first = os.pread(descriptor, LONGEST_STAMP, 0)
                if not first or re.match(STAMP, first):  # not a file of somebody else
                    os.ftruncate(descriptor, 0)
                    _write_all(descriptor, content, 0)
            finally:
                os.close(descriptor)


def _stamp(keys: list[str], ledger: os.stat_result) -> str:
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    return f"{ledger.st_ino} {ledger.st_size} {ledger.st_mtime_ns} {ledger.st_ctime_ns} {digest}"


def digest_of(row: Row) -> str:
    """Sixteen hexadecimal digits over all other fields of a row; `ValueError` if a number is not finite."""
    fields = {name: value for name, value in row.items() if name != "digest"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def _fault(row: Any) -> str | None:
    """What is wrong with a row, or None. Rows written before there were digests have none."""
    if not isinstance(row, dict):
        return "it has to be a mapping"
    if not isinstance(row.get("key"), str):
        return f"key = {reprlib.repr(row.get('key'))} has to be a string"
    if row.get("status") not in ("done", "diverged"):
        return f"status = {reprlib.repr(row.get('status'))} has to be done or diverged"
    for name in NUMBERS + (LOSSES if row["status"] == "done" else ()):
        value = row.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -BOUND < value < BOUND:
            return f"{name} = {reprlib.repr(value)} has to be a finite number"
    if not isinstance(row.get("config"), dict):
        return f"config = {reprlib.repr(row.get('config'))} has to be a mapping"
    try:
        key = RunConfig(**row["config"]).key
    except InputError as error:
        return f"config: {error}"
    if key != row["key"]:
        return f"its config is that of run {key}, and its key is {row['key']}"
    if "digest" in row and row["digest"] != digest_of(row):
        return "it was changed after it was written (its digest does not match)"
    return None


def merge_ledgers(files: Iterable[Path], out: Path) -> int:
    """Write every row of some ledgers to a new one, in their order; return how many.

    Raises `InputError`, and writes nothing, if a file is missing or not a ledger, two rows have one key, or `out`
    exists.
    """
    place: dict[str, Path] = {}
    lines = []
    for file in files:
        if not file.exists():
            raise InputError(f"{file}: there is no such ledger")
        for row in Ledger(file).rows():
            if row["key"] in place:
                raise InputError(
                    f"key = {row['key']} is in {place[row['key']]} and in {file}; remove the row from one of them"
                )
            place[row["key"]] = file
            lines.append(json.dumps(row, sort_keys=True, allow_nan=False) + "\n")
    with whole_file(out, new=True) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def book_ledger() -> Ledger:
    """The ledger of the book's own runs; `InputError` if the package was installed without its repository."""
    return Ledger(require(LEDGER, "the book"))


def old_ledger() -> Ledger:
    """The ledger of the runs of our first recipe, which only the tuning log shows; `InputError` as `book_ledger`."""
    return Ledger(require(OLD_LEDGER, "the tuning log"))


def _last_line(descriptor: int, end: int) -> bytes:
    """What follows the last end of line of a file of `end` bytes."""
    tail = b""
    while end and b"\n" not in tail:
        start = max(0, end - READ_AT_ONCE)
        tail, end = os.pread(descriptor, end - start, start) + tail, start
    return tail[tail.rfind(b"\n") + 1 :]


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write every byte: a disk that fills up silently takes a part of them, and fails only at the next write."""
    while data:
        n_written = os.pwrite(descriptor, data, offset)
        data, offset = data[n_written:], offset + n_written
