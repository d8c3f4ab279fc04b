"""Reading what others wrote: regular files of a bearable size, UTF-8, strict JSON; anything else is an `InputError`."""

import json
import os
import stat
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
    """A file's bytes; `InputError` where it is no regular file or larger than `limit`, `OSError` as the system says."""
    with os.fdopen(open_regular(path), "rb") as stream:
        content = stream.read(limit + 1) if os.fstat(stream.fileno()).st_size <= limit else None
    if content is None or len(content) > limit:
        raise InputError(f"{path}: is larger than {limit / 2**20:g} MiB, which is not read")
    return content


def read_text(path: Path | str, limit: int = LARGEST) -> str:
    """A file's text; as `read_bytes`, and `InputError` where it is not UTF-8."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: has to be text in UTF-8") from None


def read_json(path: Path | str, limit: int = LARGEST_SETTINGS) -> Any:
    """The value in a JSON file; as `read_text`, and `InputError` where `json_value` refuses it."""
    try:
        return json_value(read_text(path, limit))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error})") from None


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text. Raises `ValueError` also for what `json` lets pass or trips over: NaN and infinity, a
    name given twice, nesting without end, halves of characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses "\ud800", half of a character
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return fields
