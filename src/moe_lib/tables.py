"""Tables of runs: columns by symbol, validated, for a law.

A law is in N, Na, D, S, G, C and L; a file names its columns as it likes. A wrong value is rejected when it is read,
with its row (counted from 1, without a header) and column; nothing is dropped unless that was asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from moe_lib.errors import InputError

SMALLEST, LARGEST = 1e-30, 1e30  # their squares and products are numbers, too
COUNTS = ("N", "Na", "D", "C")  # columns in which 1.5B is a number
SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
WRITTEN_COUNT = re.compile(r"(\d{1,3}(?:[,_]\d{3})+(?:\.\d+)?|\d*\.?\d+(e[+-]?\d+)?)\s*([kmbgt]?)", re.IGNORECASE)
SYMBOLS = ("N", "Na", "D", "S", "G", "C", "L")


@dataclass(frozen=True)
class RunTable:
    """Runs ready for a fit: float64 columns by symbol, on the index of the table.

    `dropped` rows were left out, and `derived` says how the inputs that the table lacks were computed.
    """

    columns: pd.DataFrame
    dropped: int = 0
    derived: tuple[str, ...] = ()


def runs_for(
    table: pd.DataFrame,
    inputs: tuple[str, ...],
    target: str = "L",
    names: Mapping[str, str] | None = None,
    drop_highest: int = 0,
) -> RunTable:
    """Validated columns of a law's `inputs` and `target`; `names` maps symbols to the table's columns.

    A symbol that is not in `names` is looked for under its own name. Without N_a it is (1-S) N; without D it is
    C / (6 N_a), or C / (6 N) if the table has neither sparsity nor active parameters. `drop_highest` K leaves out the
    rows whose loss is not below the K-th largest. Raises `InputError` for a missing column, text, an empty cell, a
    value out of range, or an input that never changes.
    """
    columns, derived = columns_for(table, (*inputs, target), names)
    for symbol in inputs:
        if columns[symbol].nunique() == 1:
            raise InputError(
                f"column {(names or {}).get(symbol, symbol)!r}: all {len(table)} rows have {symbol} = "
                f"{columns[symbol].iloc[0]:g}; a law in {symbol} needs at least two values"
            )
    if {"N", "Na"} <= columns.keys() and np.ptp(columns["Na"] / columns["N"]) < 1e-9:
        share = columns["Na"].iloc[0] / columns["N"].iloc[0]
        raise InputError(
            f"columns for N and Na: all {len(table)} rows have N_a / N = {share:g}; a law in both needs at "
            "least two sparsities"
        )
    kept, dropped = _without_highest(pd.DataFrame(columns), target, drop_highest)
    return RunTable(kept, dropped, derived)


def columns_for(
    table: pd.DataFrame, symbols: tuple[str, ...], names: Mapping[str, str] | None = None
) -> "tuple[dict[str, pd.Series[float]], tuple[str, ...]]":
    """Validated columns of `symbols`, and how those that the table lacks were derived from others; see `runs_for`."""
    source = _Source(table, dict(names or {}))
    found = {symbol: source.column(symbol) for symbol in symbols}
    derived = []
    if found.get("Na", 0) is None and (active := source.active()) is not None:
        found["Na"] = active
        derived.append("N_a = (1 - S) N")
    if found.get("D", 0) is None and (flops := source.column("C")) is not None:
        sparse = source.has("Na") or source.has("S")
        active = source.active() if sparse else source.column("N")
        if active is not None:
            found["D"] = flops / (6 * active)
            how = "" if source.has("Na") else " with N_a = (1 - S) N"
            derived.append(f"D = C / (6 N_a){how}" if sparse else "D = C / (6 N), since the table has no S and no N_a")
    columns = {}
    for symbol in sorted(found, key=lambda x: x in ("Na", "D")):  # first the columns from which others are derived
        if (values := found[symbol]) is None:
            raise InputError(source.missing(symbol))
        columns[symbol] = values
    return {symbol: columns[symbol] for symbol in symbols}, tuple(derived)


def without_incomplete(
    table: pd.DataFrame, inputs: tuple[str, ...], target: str = "L", names: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, "pd.Index[Any]"]:
    """The table without rows in which a number that the law needs is missing or out of range, and which these were."""
    source = _Source(table, dict(names or {}))
    derived = {"N", "Na", "S", "C"} if any(x in inputs and not source.has(x) for x in ("D", "Na")) else set()
    ok = np.ones(len(table), dtype=bool)
    for symbol in {*inputs, target, *derived}:
        if source.has(symbol):
            ok &= _parsed(table[source.names.get(symbol, symbol)], symbol)[1]
    return table[ok], table.index[~ok]


def symbols_of(table: pd.DataFrame, names: Mapping[str, str] | None = None) -> "dict[str, pd.Series[Any]]":
    """Columns by their own names, and by symbol, with written counts as numbers; what a condition may name."""
    own = {str(column): table[column] for column in table.columns}
    symbols = {**{symbol: symbol for symbol in SYMBOLS if symbol in own}, **(names or {})}
    return own | {symbol: _parsed(table[column], symbol)[0] for symbol, column in symbols.items() if column in own}


class _Source:
    """Columns of a table by symbol, checked when they are first asked for."""

    def __init__(self, table: pd.DataFrame, names: dict[str, str]) -> None:
        self.table, self.names = table, names
        for symbol, column in names.items():
            if column not in table.columns:
                raise InputError(self.missing(symbol))

    def column(self, symbol: str) -> "pd.Series[float] | None":
        """Validated numbers, or None if the table has no such column."""
        name = self.names.get(symbol, symbol)
        return _numbers(self.table[name], symbol, name) if self.has(symbol) else None

    def has(self, symbol: str) -> bool:
        """Whether the table has a column for the symbol."""
        return self.names.get(symbol, symbol) in self.table.columns

    def active(self) -> "pd.Series[float] | None":
        """N_a as given, or (1 - S) N."""
        active, n, s = (self.column(symbol) for symbol in ("Na", "N", "S"))
        if active is None and n is not None and s is not None:
            return (1 - s) * n
        return active

    def missing(self, symbol: str) -> str:
        """What to say if a column is missing."""
        name, has = self.names.get(symbol, symbol), ", ".join(map(str, self.table.columns))
        return f"column {name!r} for {symbol} is not in the table, which has {has}"


def _numbers(values: "pd.Series[Any]", symbol: str, column: str) -> "pd.Series[float]":
    """Numbers of a column, all in range; `InputError` names the first cell that is not."""
    numbers, ok = _parsed(values, symbol)
    if not ok.all():
        row = int(np.flatnonzero(~ok)[0])
        value = values.iloc[row]
        where, allowed = (
            f"row {_row_of(values.index, row)}, column {column!r}",
            "be in [0, 1)" if symbol == "S" else f"be positive, from {SMALLEST:g} to {LARGEST:g}",
        )
        if pd.isna(value) or value == "":
            raise InputError(f"{where}: is empty and has to {allowed}")
        if np.isnan(numbers.iloc[row]):
            raise InputError(f"{where}: {value!r} is not a number and has to {allowed}")
        raise InputError(f"{where}: {symbol} = {numbers.iloc[row]:g} has to {allowed}")
    return numbers


def _row_of(index: "pd.Index[Any]", position: int) -> int:
    """Row of the file, from 1: rows keep their numbers in the index when others are left out before them."""
    label = index[position]
    return (int(label) if pd.api.types.is_integer(label) else position) + 1


def _parsed(values: "pd.Series[Any]", symbol: str) -> "tuple[pd.Series[float], npt.NDArray[np.bool_]]":
    """Numbers of a column, and which of them are in range."""
    numbers = pd.to_numeric(_without_others(values), errors="coerce").astype(np.float64)
    if symbol in COUNTS and numbers.isna().any():
        written = numbers.isna() & values.map(lambda value: isinstance(value, str))
        numbers[written] = values[written].map(_count)
    ok = (numbers >= 0) & (numbers < 1) if symbol == "S" else (numbers >= SMALLEST) & (numbers <= LARGEST)
    return numbers, ok.to_numpy()


def _without_others(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values with NaN for what pandas would turn into numbers: truth values, dates, integers beyond floating point."""
    if values.dtype.kind in "bmM":
        return pd.Series(np.nan, index=values.index)
    if values.dtype == object:
        odd = values.map(lambda x: isinstance(x, bool | np.bool_) or (isinstance(x, int) and abs(x) > LARGEST))
        return values.mask(odd, np.nan) if odd.any() else values
    return values


def _count(text: str) -> float:
    """A count such as 1.5B, 300 M, 7_000_000 or 7,000,000; NaN for other text."""
    match = WRITTEN_COUNT.fullmatch(text.strip())
    return float(re.sub("[_,]", "", match[1])) * SCALES[match[3].lower()] if match else float("nan")


def _without_highest(columns: pd.DataFrame, target: str, count: int) -> tuple[pd.DataFrame, int]:
    if not 0 <= count < len(columns):
        raise InputError(f"drop-highest = {count} has to be between 0 and the {len(columns)} rows less one")
    if count == 0:
        return columns, 0
    kept = columns[columns[target] < columns[target].nlargest(count).iloc[-1]]
    return kept, len(columns) - len(kept)
