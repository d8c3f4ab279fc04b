"""Reading foreign files: regular, of a limited size, UTF-8, strict JSON; anything else is an `InputError`."""

import gzip
import io
import json
import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moe_lib.errors import InputError

LARGEST = 2**30  # bytes of a file that is read whole
LARGEST_SETTINGS = 2**24  # of one that describes something: YAML, run.json, a manifest


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file; `InputError` for pipes, devices and folders, which may block or never end."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except IsADirectoryError:
        raise InputError(f"{path}: has to be a regular file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: has to be a regular file")
    return descriptor


def read_bytes(path: Path | str, limit: int = LARGEST) -> bytes:
    """A file's bytes; `InputError` unless it is a regular file of at most `limit` bytes, `OSError` from the system."""
    with os.fdopen(open_regular(path), "rb") as stream:
        content = stream.read(limit + 1) if os.fstat(stream.fileno()).st_size <= limit else None
    if content is None or len(content) > limit:
        raise InputError(f"{path}: is larger than {limit / 2**20:g} MiB, which is not read")
    return content


def read_text(path: Path | str, limit: int = LARGEST) -> str:
    """A file's text; as `read_bytes`, and `InputError` if it is not UTF-8."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: has to be text in UTF-8") from None


def read_json(path: Path | str, limit: int = LARGEST_SETTINGS) -> Any:
    """The value in a JSON file; as `read_text`, and `InputError` if `json_value` rejects it."""
    try:
        return json_value(read_text(path, limit))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error})") from None


def unpacked(content: bytes, limit: int = LARGEST) -> bytes:
    """Some bytes, unpacked if they are gzip's; `ValueError` if that makes more than `limit`, or they are damaged."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            found = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from None
    if len(found) > limit:
        raise ValueError(f"unpacked it is larger than {limit / 2**20:g} MiB, which is not read")
    return found


def json_value(text: str | bytes, finite: bool = True) -> Any:
    """The value of a JSON text. Raises `ValueError` also for what `json` accepts or fails on: a name given twice,
    endless nesting, half a character, and, if it has to be `finite`, NaN and infinity."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_no_constant if finite else float, object_pairs_hook=_unique)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses "\ud800", half of a character
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError(f"{repeated(name for name, _ in pairs)!r} is given twice")
    return fields


def repeated(names: Iterable[str]) -> str | None:
    """The first name that was there before, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
