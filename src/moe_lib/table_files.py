"""Tables from files or standard input: separated by commas, semicolons or tabs, JSON lines, or Parquet."""

import gzip
import io
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from moe_lib.errors import InputError

STDIN = "-"
SEPARATORS = ",;\t"


def _separated(content: bytes) -> pd.DataFrame:
    """A table whose header shows its separator; with semicolons, a comma is a decimal point."""
    text = content.decode("utf-8-sig")
    header = "".join(text.split("\n", 1)[0].split('"')[::2])  # without what is quoted
    separator = max(SEPARATORS, key=header.count)
    return pd.read_csv(io.StringIO(text), sep=separator, decimal="," if separator == ";" else ".")


def _json_lines(content: bytes) -> pd.DataFrame:
    rows = pd.read_json(io.BytesIO(content), lines=True).to_dict("records")
    return pd.json_normalize(rows)  # type: ignore[arg-type]


def _parquet(content: bytes) -> pd.DataFrame:
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
        name, content = "standard input", sys.stdin.buffer.read()
        kind = ".parquet" if content[:4] == b"PAR1" else ".jsonl" if content.lstrip()[:1] == b"{" else ".csv"
    else:
        name, path = str(path), Path(path)
        kind = (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()
        if kind not in READERS:
            raise InputError(f"{name}: has to end in {', '.join(READERS)} or be - for standard input")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{name}: cannot be read ({error.strerror or error})") from None
    try:
        table = READERS[kind](gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (ValueError, OSError, EOFError, zlib.error) as error:  # the last three: gzip, cut short or damaged
        reason = (str(error).splitlines() or ["nothing in it"])[0]
        raise InputError(f"{name}: is not a {kind[1:]} table ({reason})") from None
    if table.empty:
        raise InputError(f"{name}: holds no rows")
    return table
