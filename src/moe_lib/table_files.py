"""Tables from files or standard input: separated by commas, semicolons or tabs, JSON lines, or Parquet."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import parquet

from moe_lib.errors import InputError
from moe_lib.reading import json_value, read_bytes, repeated, unpacked

LARGEST_TABLE = 2**28  # bytes
MOST_CELLS = 10**8
STDIN = "-"
SEPARATORS = ",;\t"


def _separated(content: bytes) -> pd.DataFrame:
    """A table whose header shows its separator; with semicolons, a comma is a decimal point."""
    text = content.decode("utf-8-sig")
    header = "".join(text.split("\n", 1)[0].split('"')[::2])  # without quoted text
    separator = max(SEPARATORS, key=header.count)
    rows = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row)
    names = next(rows, [])
    if twice := repeated(filter(None, names)):
        raise ValueError(f"the column {twice!r} is there twice")
    for number, row in enumerate(rows, start=1):  # pandas would take the first cells of longer rows for their names
        if len(row) > len(names):
            raise ValueError(f"row {number} has {len(row)} cells, and the header {len(names)}")
    return pd.read_csv(io.StringIO(text), sep=separator, decimal="," if separator == ";" else ".")


def _json_lines(content: bytes) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json_value(line, finite=False))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            if not isinstance(rows[-1], dict):
                raise ValueError(f"line {number} is not a mapping of columns to values")
            if twice := repeated(_columns(rows[-1])):
                raise ValueError(f"line {number}: {twice!r} is there twice, once as a mapping in a mapping")
    return pd.json_normalize(rows)


def _columns(row: dict[str, Any], before: str = "") -> Iterator[str]:
    """The columns of a row, mappings in it joined by dots."""
    for name, value in row.items():
        if isinstance(value, dict) and value:
            yield from _columns(value, f"{before}{name}.")
        else:
            yield before + name


def _parquet(content: bytes) -> pd.DataFrame:
    about = parquet.ParquetFile(io.BytesIO(content)).metadata
    if about.num_rows * about.num_columns > MOST_CELLS:  # a few bytes can encode any number of equal cells
        raise ValueError(f"it has more than {MOST_CELLS:,} cells, which are not read")
    return pd.read_parquet(io.BytesIO(content))


READERS: dict[str, Callable[[bytes], pd.DataFrame]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}


def read_table(path: Path | str) -> pd.DataFrame:
    """The table of a .csv, .tsv, .jsonl or .parquet file, gzipped or not, or of standard input for `-`.

    Raises `InputError` if the file is missing, of another kind, broken or empty.
    """
    if str(path) == STDIN:
        name, content = "standard input", sys.stdin.buffer.read(LARGEST_TABLE + 1)
        if len(content) > LARGEST_TABLE:
            raise InputError(f"{name}: is larger than {LARGEST_TABLE / 2**20:g} MiB, which is not read")
        kind = ".parquet" if content[:4] == b"PAR1" else ".jsonl" if content.lstrip()[:1] == b"{" else ".csv"
    else:
        name, path = str(path), Path(path)
        kind = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
        if kind not in READERS:
            raise InputError(f"{name}: has to end in {', '.join(READERS)} or be - for standard input")
        try:
            content = read_bytes(path, LARGEST_TABLE)
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror or error})") from None
    try:
        table = READERS[kind](unpacked(content, LARGEST_TABLE))
    except Exception as error:  # pandas and pyarrow raise errors of many kinds on a damaged file
        reason = (str(error).splitlines() or ["nothing in it"])[0]
        raise InputError(f"{name}: is not a {kind[1:]} table ({reason})") from None
    if table.empty:
        raise InputError(f"{name}: has no rows")
    return table
