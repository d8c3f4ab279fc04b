"""The board: every claim of book/claims.yml judged on the evidence, with contradictions inside the text resolved."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import HOLDS, VERDICTS, Finding, Verdict, Voice
from moe_lib.claims.statement import Claim, read_claims
from moe_lib.claims.words import ROUNDING, headline, number, span
from moe_lib.errors import InputError


@dataclass(frozen=True)
class Judged:
    """A claim with its finding; `opposed` are the ids of claims that state the opposite.

    `rests_on` has the verdicts, by id, of the claims without which this one would be empty.
    """

    claim: Claim
    finding: Finding
    opposed: tuple[str, ...] = ()
    rests_on: dict[str, Verdict] = field(default_factory=dict)

    @property
    def effect(self) -> str:
        """The effect with its interval and unit, in words; empty if there is none."""
        found = self.finding
        if found.effect is None:
            return ""
        ends = "" if found.interval is None else f" ({number(found.interval[0])} to {number(found.interval[1])})"
        return f"{number(found.effect)}{ends} {found.unit}".strip()

    def said_by(self, voice: Voice) -> str:
        """The verdict of one voice, its effect and what weakens it, in words; empty if the voice was not asked."""
        looks = [look for look in self.finding.looks if look.voice == voice]
        values, first = [look.value for look in looks if look.value is not None], headline(looks)
        effect = span(values) if values else ""
        if first and first.value is not None and first.low is not None and first.high is not None:
            effect = f"{number(first.value)} ({number(first.low)} to {number(first.high)})"
        notes = dict.fromkeys(look.note for look in looks if look.note)
        words = "; ".join(part for part in (f"{effect} {self.finding.unit}".strip() if effect else "", *notes) if part)
        return ": ".join(part for part in (self.finding.of(voice), words) if part)

    @property
    def contract(self) -> dict[str, Any]:
        """The claim as `moe-lib claims --json` prints it."""
        found, recipes = self.finding, dict.fromkeys(look.recipe for look in self.finding.looks if look.recipe)
        return {
            "id": self.claim.id,
            "verdict": found.verdict,
            "scale": found.scale,
            "effect": _rounded(found.effect),
            "interval": None if found.interval is None else [_rounded(end) for end in found.interval],
            "interval_kind": found.interval_kind,
            "unit": found.unit,
            "evidence": f"moe_lib.claims.{self.claim.judge}",
            "grounds": found.grounds,
            "section": self.claim.section,
            "says": self.claim.says,
            "kind": self.claim.kind,
            "rule": self.claim.rule,
            "law": found.of("law"),
            "runs": {recipe: found.of("runs", recipe) for recipe in recipes},
            "text": found.of("text"),
            "opposed": list(self.opposed),
            "rests_on": self.rests_on,
            "shown": self.claim.shown,
        }


def board(
    evidence: Evidence | None = None, claims: Iterable[Claim] | None = None, ids: Sequence[str] = ()
) -> list[Judged]:
    """Judge claims (default: all of book/claims.yml, or those of some ids) on the evidence (default: the book's).

    A claim is `inconsistent` if another one states the opposite, unless the evidence holds for this one and not for
    the other. `InputError` for an unknown id.
    """
    evidence, listed = evidence or Evidence.of_the_book(), list(claims or read_claims())
    known = [claim.id for claim in listed]
    for one in ids:
        if one not in known:
            raise InputError(f"id = {one!r} has to be one of {known[0]} to {known[-1]}")
    wanted = [claim for claim in listed if not ids or claim.id in ids]
    below = {name for claim in wanted for name in claim.rests_on}
    asked = [claim for claim in listed if claim in wanted or claim.id in below]
    opponents = {claim.id: [other for other in listed if _opposed(claim, other)] for claim in asked}
    needed = {claim.id: claim for claim in asked} | {o.id: o for own in opponents.values() for o in own}
    found = {name: judge(claim, evidence) for name, claim in needed.items()}
    resolved = {claim.id: _resolved(claim, opponents[claim.id], found) for claim in asked}
    return [
        Judged(
            claim,
            resolved[claim.id],
            tuple(one.id for one in opponents[claim.id]),
            {name: resolved[name].verdict for name in claim.rests_on},
        )
        for claim in wanted
    ]


def judge(claim: Claim, evidence: Evidence) -> Finding:
    """The finding of one claim by itself; `InputError` if its function does not exist."""
    module, _, name = claim.judge.partition(".")
    try:
        function: Callable[..., Finding] = getattr(import_module(f"moe_lib.claims.{module}"), name)
    except (ImportError, AttributeError):
        raise InputError(f"{claim.id}: judge = {claim.judge!r} is not a function of moe_lib.claims") from None
    return function(evidence, **claim.options)


def counts(judged: Iterable[Judged]) -> dict[Verdict, int]:
    """How many claims have each verdict, in the order of the verdicts."""
    found = Counter(one.finding.verdict for one in judged)
    return {verdict: found[verdict] for verdict in VERDICTS}


def _opposed(one: Claim, other: Claim) -> bool:
    return any(a.quantity == b.quantity and a.sign == -b.sign for a in one.about for b in other.about)


def _resolved(claim: Claim, opponents: Sequence[Claim], found: dict[str, Finding]) -> Finding:
    own = found[claim.id]
    if not opponents:
        return own
    others = ", ".join(f"{one.id} ({one.section}) states the opposite" for one in opponents)
    decided = own.verdict in HOLDS and all(found[one.id].verdict not in HOLDS for one in opponents)
    verdict: Verdict = own.verdict if decided else "inconsistent"
    settled = "the evidence agrees with this one" if decided else f"by itself this one would be {own.verdict}"
    return replace(own, verdict=verdict, grounds=f"{others}; {settled}; {own.grounds}")


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return 0.0 if abs(value) < ROUNDING else float(f"{value:.6g}")
