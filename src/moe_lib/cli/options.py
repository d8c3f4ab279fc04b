"""Options with a syntax of their own: `N=params`, `e=1.6`, `alpha=0:0.5`, `beta=alpha`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from moe_lib.errors import InputError

INFINITY = float("inf")
LARGEST = 1e30  # as in a table
PAIR = re.compile(r"""\s*([^=,"']*?)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,"']*?))\s*(?:,|$)""")


def parse_names(text: str | None, any_symbol: bool = False) -> dict[str, str]:
    """`N=params,L="final loss, nats"` as a mapping of symbols to columns.

    Symbols are those of the laws; with `any_symbol`, for a form of the user's own, any name is one.
    """
    from moe_lib.tables import SYMBOLS

    names: dict[str, str] = {}
    rest = (text or "").strip()
    while rest:
        match = PAIR.match(rest)
        symbol, column = (match[1], match[2] or match[3] or match[4]) if match else ("", "")
        known = symbol.isidentifier() if any_symbol else symbol in SYMBOLS
        if match is None or not known or not column:
            raise InputError(f"columns: {rest!r} has to be SYMBOL=COLUMN with one of {', '.join(SYMBOLS)}")
        if symbol in names:
            raise InputError(f"columns: {symbol} is given twice")
        names[symbol] = column
        rest = rest[match.end() :].strip()
    return names


def pairs(text: str | None, option: str, shape: str) -> Iterator[tuple[str, str]]:
    """NAME=VALUE parts of a text; `InputError` shows the `shape` that the option takes."""
    given = set()
    for part in (text or "").split(","):
        name, sign, value = (piece.strip() for piece in part.partition("="))
        if part.strip():
            if not (name and sign and value):
                raise InputError(f"{option}: {part.strip()!r} has to be {shape}")
            if name in given:
                raise InputError(f"{option}: {name} is given twice")
            given.add(name)
            yield name, value


def parse_bounds(fix: str | None, bounds: str | None) -> dict[str, tuple[float, float]]:
    """Ranges of `--fix e=1.6,c=0` and `--bounds alpha=0:0.5,gamma=:2`; an open end is infinite."""
    found = {}
    for name, value in pairs(bounds, "bounds", "NAME=LOW:HIGH, in which LOW or HIGH may be left out"):
        low, colon, high = value.partition(":")
        ends = _number(low, "bounds", -INFINITY), _number(high, "bounds", INFINITY)
        if not colon or not ends[0] <= ends[1]:
            raise InputError(f"bounds: {name}={value} has to be NAME=LOW:HIGH with LOW below HIGH")
        found[name] = ends
    for name, value in pairs(fix, "fix", "NAME=VALUE"):
        if name in found:
            raise InputError(f"fix: {name} has bounds already")
        found[name] = (_number(value, "fix"),) * 2
    return found


def parse_ties(text: str | None) -> dict[str, str]:
    """`--tie beta=alpha`."""
    return dict(pairs(text, "tie", "NAME=OTHER"))


def _number(text: str, option: str, empty: float | None = None) -> float:
    try:
        value = float(text) if text.strip() or empty is None else empty
    except ValueError:
        value = float("nan")
    if (text.strip() or empty is None) and not abs(value) <= LARGEST:
        raise InputError(f"{option}: {text.strip()!r} has to be a number from {-LARGEST:g} to {LARGEST:g}")
    return value


@contextmanager
def progress_bar(total: int) -> Iterator["Bar"]:
    """A bar on standard error that vanishes at the end; nothing if that is not a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, total)


class Bar:
    """Shows the current work: searches first, then `total` resamples."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total = progress, total
        self.task = progress.add_task("searching", total=None)

    def resampled(self, done: int) -> None:
        """Show how many refits are done."""
        self.progress.update(self.task, description="resampling", total=self.total, completed=done)

    def now(self, what: str) -> None:
        """Show the next piece of work."""
        self.progress.update(self.task, description=what, total=None)
