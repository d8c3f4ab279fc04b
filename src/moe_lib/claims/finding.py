"""What evidence says about a claim: looks by voice, and the verdict that follows from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

Verdict = Literal["reproduced", "partial", "contradicted", "inconsistent", "not testable here"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Voice = Literal["text", "law", "runs"]
UNTESTED: Verdict = "not testable here"
HOLDS: tuple[Verdict, ...] = ("reproduced", "partial")


@dataclass(frozen=True)
class Look:
    """One look at a claim: by one voice, under one convention, at one budget, by one route, of one recipe.

    `value` is the effect in the finding's unit, `low` and `high` bound its interval (None: not estimated). `every_step`
    is the share of draws in which a direction holds at every step. `note` is half a sentence that a reader of the
    verdict needs. `recipe` is empty unless the voice is that of our runs.
    """

    voice: Voice
    name: str
    verdict: Verdict
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    recipe: str = ""
    every_step: float | None = None


@dataclass(frozen=True)
class Finding:
    """A verdict with its effect, the interval and its kind, the scale, one sentence of grounds, and all looks."""

    verdict: Verdict
    grounds: str
    effect: float | None
    interval: tuple[float, float] | None
    interval_kind: str
    unit: str
    scale: str
    looks: tuple[Look, ...]

    def of(self, voice: Voice, recipe: str | None = None) -> Verdict | None:
        """The verdict of one voice, or of one recipe of our runs; None if it was not asked."""
        asked = [look for look in self.looks if look.voice == voice and recipe in (None, look.recipe)]
        return agreed(look.verdict for look in asked) if asked else None


def agreed(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict for several looks: theirs if all that could be tested agree, `partial` if they do not."""
    tested = {verdict for verdict in verdicts if verdict != UNTESTED}
    return tested.pop() if len(tested) == 1 else "partial" if tested else UNTESTED


def says_nothing(looks: Iterable[Look], why: str, becomes: Verdict) -> tuple[Look, ...]:
    """Looks that hold, weakened because they would hold anyway: `reproduced` becomes another verdict, with the reason.

    If the form of a fit allows nothing else (`becomes` is `not testable here`), no outcome is evidence.
    """
    return tuple(
        replace(look, verdict=becomes, note=why) if look.verdict in HOLDS or becomes == UNTESTED else look
        for look in looks
    )


def conclude(
    looks: Sequence[Look], grounds: str, unit: str = "", scale: str = "", interval_kind: str | None = None
) -> Finding:
    """The finding of some looks: every voice speaks once, and the verdict is theirs if they agree, else `partial`.

    The effect is that of the first tested look of our runs, else of the law, else of the text. Its interval is that
    look's own for runs (95 %), and the range over all looks of the voice otherwise.
    """
    by_voice = {voice: agreed(x.verdict for x in looks if x.voice == voice) for voice in get_args(Voice)}
    verdict = agreed(by_voice.values())
    speaking = [voice for voice in ("runs", "law", "text") if by_voice[voice] != UNTESTED]
    effect, interval, kind = None, None, ""
    for voice in (*speaking, "runs", "law", "text"):
        own = [look for look in looks if look.voice == voice and look.value is not None]
        if not own:
            continue
        first = next((look for look in own if look.verdict != UNTESTED), own[0])
        effect = None if first.value is None else float(first.value)
        if first.low is not None and first.high is not None:
            interval, kind = (float(first.low), float(first.high)), "95 %"
        elif len(own) > 1:
            values = [look.value for look in own if look.value is not None]
            interval, kind = (min(values), max(values)), "range over looks"
        break
    heard = [voice for voice in ("text", "law", "runs") if any(look.voice == voice for look in looks)]
    default = " and ".join(speaking[::-1] or heard)
    return Finding(verdict, grounds, effect, interval, interval_kind or kind, unit, scale or default, tuple(looks))
