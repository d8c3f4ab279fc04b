"""Compares printed outputs as numbers, so that a record made on one machine holds on another.

The text between numbers has to be equal, up to blanks. Each number may differ by one and a half units of its last
printed digit: enough for a digit that rounds the other way, too little for a difference of two. A cell that needs more
says so in its metadata, with the reason:

    compare:
      units: 10                       # instead of 1.5
      inside: '\\(.*? to .*?\\)'        # only for numbers in these places of a line; the others keep 1.5
      either: ['yes', undecided]      # words of which one may replace another
      because: ends of bootstrap intervals rest on few resamples

`units: 0` compares exactly, for counts.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import zip_longest

NUMBER = re.compile(
    r"(?<![\w.])"  # a digit inside a word (x86) or after the point of a version (2.13.0) is text
    r"(?:(?<![\w.)\]+])[+−-])?"  # a sign, but neither a range (1-5) nor the second half of +-
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][+−-]?\d+)?"
)
PLACE = "\0"


@dataclass(frozen=True)
class Tolerance:
    """How much a cell's output may differ from its record; by default, the tolerance of a cell that names none."""

    units: float = 1.5
    inside: str = ""
    either: tuple[str, ...] = field(default=())
    because: str = ""

    @classmethod
    def of(cls, metadata: Mapping[str, object]) -> "Tolerance":
        """The tolerance in a cell's metadata. Raises `ValueError` for an unknown key or without a reason."""
        named = metadata.get("compare", {})
        if not isinstance(named, Mapping):
            raise ValueError(f"compare = {named!r} has to be a mapping")
        if unknown := set(named) - set(cls.__dataclass_fields__):
            raise ValueError(f"compare names {', '.join(sorted(unknown))}; allowed are units, inside, either, because")
        if named and not named.get("because"):
            raise ValueError("compare needs a reason under `because`")
        return cls(**{**named, "either": tuple(named.get("either", ()))})


def differences(found: str, recorded: str, tolerance: Tolerance = Tolerance()) -> list[str]:
    """The lines of an output that differ from their record, as `-recorded`, `+found` and why; empty if none does."""
    messages = []
    for then, now in zip_longest(recorded.splitlines(), found.splitlines()):
        if then is None or now is None:
            return list(difflib.unified_diff(recorded.splitlines(), found.splitlines(), "recorded", "now", lineterm=""))
        if why := _why_not(now, then, tolerance):
            messages += [f"-{then}", f"+{now}", f"  {why}"]
    return messages


def _why_not(now: str, then: str, tolerance: Tolerance) -> str:
    """Why a line differs from its record; empty if it agrees."""
    if _words(now, tolerance.either) != _words(then, tolerance.either):
        return "the text differs"
    loose = [match.span() for match in re.finditer(tolerance.inside, then)] if tolerance.inside else [(0, len(then))]
    for old, new in zip(NUMBER.finditer(then), NUMBER.finditer(now), strict=True):
        named = any(start <= old.start() and old.end() <= end for start, end in loose)
        allowed = Decimal(str(tolerance.units if named else Tolerance.units)) * min(_unit(old[0]), _unit(new[0]))
        if abs(_value(old[0]) - _value(new[0])) > allowed:
            return f"{old[0]} became {new[0]}, more than {allowed:f} away"
    return ""


def _words(line: str, either: tuple[str, ...]) -> str:
    """A line without its numbers and the blanks beside them, and with exchangeable words made equal."""
    text = re.sub(rf"\s*{PLACE}\s*", PLACE, NUMBER.sub(PLACE, line))
    if either:
        text = re.sub(rf"\b(?:{'|'.join(map(re.escape, either))})\b", either[0], text)
    return " ".join(text.split())


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", "").replace("−", "-"))


def _unit(number: str) -> Decimal:
    """One unit of the last printed digit: 0.01 for 3.14, 1e2 for 4.2e3."""
    return Decimal((0, (1,), int(_value(number).as_tuple().exponent)))
