"""Tables of runs from files: CSV, JSON lines or Parquet in, validated columns out.

A law speaks of N, Na, D, S, G, C and L; a file has columns of its own names. What is wrong is refused where it
enters, with the row (counted from 1, without a header) and the column; nothing is dropped unless it was asked for.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.errors import InputError

SYMBOLS = ("N", "Na", "D", "S", "G", "C", "L")


def _read_json_lines(path: Path) -> pd.DataFrame:
    return pd.json_normalize(pd.read_json(path, lines=True).to_dict("records"))  # type: ignore[arg-type]


READERS: dict[str, Callable[..., pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".jsonl": _read_json_lines,
    ".parquet": pd.read_parquet,
}


@dataclass(frozen=True)
class RunTable:
    """Runs ready for a fit: float64 columns by symbol, on the index of the table, and how many rows were dropped."""

    columns: pd.DataFrame
    dropped: int = 0


def read_table(path: Path | str) -> pd.DataFrame:
    """A file's table as it stands; .csv, .jsonl or .parquet, the first two also gzipped.

    Raises `InputError` where the file is missing, of another kind, broken or empty.
    """
    path = Path(path)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in READERS:
        raise InputError(f"{path}: has to end in .csv, .jsonl or .parquet")
    try:
        table = READERS[suffix](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError, zlib.error) as error:  # the last two: gzip, cut short or damaged
        raise InputError(f"{path}: is no {suffix[1:]} table ({str(error).splitlines()[0]})") from None
    if table.empty:
        raise InputError(f"{path}: holds no rows")
    return table


def runs_for(
    table: pd.DataFrame,
    inputs: tuple[str, ...],
    target: str = "L",
    names: Mapping[str, str] | None = None,
    drop_highest: int = 0,
) -> RunTable:
    """Validated columns of a law's `inputs` and `target`; `names` maps symbols to the table's columns.

    A symbol that is not in `names` is looked for under its own name. Without N_a it is (1-S) N; without D it is
    C / (6 N_a), where N_a is N unless sparsity or active parameters are given. `drop_highest` K leaves out the rows
    whose loss is not below the K-th largest. Raises `InputError` for a missing column, text, an empty cell, a value out
    of range, or an input that never changes.
    """
    source = _Source(table, dict(names or {}))
    found = {symbol: source.column(symbol) for symbol in (*inputs, target)}
    if found.get("Na", 0) is None:
        found["Na"] = source.active()
    if found.get("D", 0) is None and (flops := source.column("C")) is not None:
        sparse = bool({"Na", "S"} & {*source.names, *inputs})
        active = source.active() if sparse else source.column("N")
        found["D"] = None if active is None else flops / (6 * active)
    columns = {}
    for symbol in sorted(found, key=lambda x: x in ("Na", "D")):  # what others are worked out from is missed first
        column, values = source.names.get(symbol, symbol), found[symbol]
        if values is None:
            raise InputError(source.missing(symbol))
        if symbol != target and values.nunique() == 1:
            raise InputError(
                f"column {column!r}: all {len(table)} rows have {symbol} = {values.iloc[0]:g}; a law in {symbol} needs "
                "at least two values"
            )
        columns[symbol] = values
    if {"N", "Na"} <= columns.keys() and np.ptp(columns["Na"] / columns["N"]) < 1e-9:
        share = columns["Na"].iloc[0] / columns["N"].iloc[0]
        raise InputError(
            f"columns for N and Na: all {len(table)} rows have N_a / N = {share:g}; a law in both needs at "
            "least two sparsities"
        )
    return _without_highest(pd.DataFrame(columns), target, drop_highest)


class _Source:
    """Columns of a table by symbol, checked when they are first asked for."""

    def __init__(self, table: pd.DataFrame, names: dict[str, str]) -> None:
        self.table, self.names = table, names
        for symbol, column in names.items():
            if column not in table.columns:
                raise InputError(self.missing(symbol))

    def column(self, symbol: str) -> "pd.Series[float] | None":
        """Validated numbers, or None where the table has no such column."""
        name = self.names.get(symbol, symbol)
        return _numbers(self.table[name], symbol, name) if name in self.table.columns else None

    def active(self) -> "pd.Series[float] | None":
        """N_a as given, or (1 - S) N."""
        active, n, s = (self.column(symbol) for symbol in ("Na", "N", "S"))
        if active is None and n is not None and s is not None:
            return (1 - s) * n
        return active

    def missing(self, symbol: str) -> str:
        """What to say where a column is not there."""
        name, has = self.names.get(symbol, symbol), ", ".join(map(str, self.table.columns))
        return f"column {name!r} for {symbol} is not in the table, which has {has}"


def _numbers(values: "pd.Series[Any]", symbol: str, column: str) -> "pd.Series[float]":
    numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
    in_range = (numbers >= 0) & (numbers < 1) if symbol == "S" else (numbers > 0) & np.isfinite(numbers)
    if not in_range.all():
        row = int(np.flatnonzero(~in_range.to_numpy())[0])
        value = values.iloc[row]
        where, allowed = (
            f"row {row + 1}, column {column!r}",
            "be in [0, 1)" if symbol == "S" else "be positive and finite",
        )
        if pd.isna(value) or value == "":
            raise InputError(f"{where}: is empty and has to {allowed}")
        if np.isnan(numbers.iloc[row]):
            raise InputError(f"{where}: {value!r} is no number and has to {allowed}")
        raise InputError(f"{where}: {symbol} = {numbers.iloc[row]:g} has to {allowed}")
    return numbers


def _without_highest(columns: pd.DataFrame, target: str, count: int) -> RunTable:
    if not 0 <= count < len(columns):
        raise InputError(f"drop-highest = {count} has to be between 0 and the {len(columns)} rows less one")
    if count == 0:
        return RunTable(columns)
    kept = columns[columns[target] < columns[target].nlargest(count).iloc[-1]]
    return RunTable(kept, len(columns) - len(kept))
