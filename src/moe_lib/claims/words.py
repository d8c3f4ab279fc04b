"""Half sentences of grounds, whose numbers are computed."""

import re
from collections.abc import Iterable, Sequence

from moe_lib.claims.finding import UNTESTED, Look

ROUNDING = 1e-9  # what is left of an exact zero
FEW = 3  # looks that are named where they differ from the others
NOTHING = "it would also hold if sparsity did nothing"
FORM = "the form of the law allows no other answer"


def number(value: float) -> str:
    """A number to three digits, with powers of ten as in 1e13; rounding errors are zero."""
    if abs(value) < ROUNDING:
        return "0"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.3g}")


def span(values: Iterable[float]) -> str:
    """The range of some numbers."""
    low, high = min(found := list(values)), max(found)
    return number(low) if number(low) == number(high) else f"{number(low)} to {number(high)}"


def tally(looks: Sequence[Look]) -> str:
    """How many looks came to which verdict, and the reason that they share."""
    verdicts = [look.verdict for look in looks]
    if len(looks) == 1:
        return verdicts[0]
    if len(set(verdicts)) == 1:
        return f"{verdicts[0]} in all {len(looks)} looks"
    parts = []
    for one in dict.fromkeys(verdicts):
        names = [look.name for look in looks if look.verdict == one]
        named = f" ({' and '.join(names)})" if len(names) <= FEW and len(names) < len(looks) / 2 else ""
        parts.append(f"{len(names)} {one}{named}")
    return f"{', '.join(parts)} of {len(looks)} looks"


def sentence(*parts: str) -> str:
    """One sentence of half sentences."""
    return "; ".join(part for part in parts if part) + "."


def headline(looks: Sequence[Look]) -> Look | None:
    """The look whose effect is shown: the first tested one that has an effect, else the first that has one."""
    valued = [look for look in looks if look.value is not None]
    return next((look for look in valued if look.verdict != UNTESTED), valued[0] if valued else None)


def law_says(looks: Sequence[Look], unit: str) -> str:
    """What the law's looks say: range of the effect, verdicts, and what weakens them."""
    values = [look.value for look in looks if look.value is not None]
    effect = f"{span(values)} {unit}".strip() if values else ""
    notes = list(dict.fromkeys(look.note for look in looks if look.note))
    return "the law: " + ", ".join(part for part in (effect, tally(looks), *notes) if part) if looks else ""


def runs_say(looks: Sequence[Look], unit: str) -> str:
    """What our runs say, recipe by recipe: first look, interval if any, verdicts, and what weakens them."""
    parts = []
    for recipe in dict.fromkeys(look.recipe for look in looks):
        own = [look for look in looks if look.recipe == recipe]
        first = headline(own)
        effect = ""
        if first is not None and first.value is not None:
            ends = () if first.low is None or first.high is None else (first.low, first.high)
            interval = f" ({number(ends[0])} to {number(ends[1])})" if ends else ""
            effect = f"{number(first.value)}{interval} {unit}".strip()
            if first.every_step is not None:
                effect += f", at every step in {first.every_step:.0%} of resamples"
        notes = list(dict.fromkeys(look.note for look in own if look.note))
        named = f"our runs ({recipe})" if recipe else "our runs"
        counted = tally(own) if first is not None or any(look.verdict != UNTESTED for look in own) else ""
        parts.append(f"{named}: " + ", ".join(part for part in (effect, counted, *notes) if part))
    return "; ".join(parts)
