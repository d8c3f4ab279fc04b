"""Claims about directions: how optima move along sparsity, along size and along the budget.

One test serves the law and our runs. Looks of the law are at the paper's five budgets under three conventions of N_a;
looks of our runs at every complete budget, under the same conventions, by the surface with chosen degrees and with the
paper's.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from moe_lib.accounting import CONVENTIONS
from moe_lib.analysis.runs import SURFACES
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, conclude, says_nothing
from moe_lib.claims.law_voice import LOOKS, LawVoice
from moe_lib.claims.our_runs import COLUMNS, ROUTES, Runs
from moe_lib.claims.trend import Trend, trend
from moe_lib.claims.words import FORM, NOTHING, law_says, number, runs_say, sentence
from moe_lib.laws.basis import Array
from moe_lib.laws.implications import compute_multiple
from moe_lib.paper import BUDGETS, SPARSITIES

Quantity = Literal["N", "Na", "D", "L"]
SYMBOL = {"N": "N*", "Na": "N_a*", "D": "D*", "L": "L*", "S": "S*"}
LEAST_BUDGETS = 2


def along_sparsity(evidence: Evidence, quantity: Quantity, sign: int) -> Finding:
    """Does an optimum at fixed budget move with sparsity as claimed?"""
    unit = _unit(quantity)
    law, runs = law_along_sparsity(evidence, quantity, sign), runs_along_sparsity(evidence, quantity, sign)
    extra = _in_compute(evidence) if quantity == "L" else ""
    return conclude([*law, *runs], sentence(law_says(law, unit), extra, runs_say(runs, unit)), unit)


def law_along_sparsity(evidence: Evidence, quantity: Quantity, sign: int) -> tuple[Look, ...]:
    """The law's looks, weakened if the form allows nothing else or if they would hold without sparsity."""
    voice = evidence.voice

    def seen(law: LawVoice, flops: float, convention: Any) -> Trend:
        at = law.optima(flops, convention)
        y = at[quantity].to_numpy(float) if quantity == "L" else np.log(at[quantity].to_numpy(float))
        return trend(at["s"].to_numpy(float), y, y, sign)

    looks = tuple(_law_look(seen(voice, *at), *at) for at in LOOKS)
    if voice.form_allows_one_sign(lambda law: np.array([seen(law, BUDGETS[2], "ideal").value])):
        return says_nothing(looks, FORM, UNTESTED)
    if all(seen(voice.blind, *at).in_mean for at in LOOKS):
        return says_nothing(looks, NOTHING, "partial")
    return looks


def runs_along_sparsity(evidence: Evidence, quantity: Quantity, sign: int) -> tuple[Look, ...]:
    """Our runs' looks, weakened if the same test holds on the same runs as if sparsity did nothing."""
    looks: list[Look] = []
    for runs in evidence.runs:
        own: list[Look] = []
        for flops in runs.budgets:
            null = _seen(runs, quantity, flops, "one-embedding", None, sign, null=True) if runs.noise_known() else None
            for convention in COLUMNS[quantity]:
                for route, degrees in ROUTES if convention in ("one-embedding", "as trained") else ROUTES[:1]:
                    found = _seen(runs, quantity, flops, convention, degrees, sign)
                    name = f"{number(flops)} FLOPs, {convention}, {route}"
                    look = look_of(found, name, runs)
                    trivial = null is not None and null.in_mean
                    own += says_nothing([look], NOTHING, "partial") if trivial else [look]
        looks += own
    return tuple(looks or no_runs(evidence, 1))


def every_budget(evidence: Evidence, signs: dict[Quantity, int]) -> Finding:
    """Is the pattern of `signs` along sparsity there in the mean at every budget?"""
    law = [look for quantity, sign in signs.items() for look in law_along_sparsity(evidence, quantity, sign)]
    runs = [look for quantity, sign in signs.items() for look in runs_along_sparsity(evidence, quantity, sign)]
    if few := few_budgets(evidence):
        runs = list(few)
    looks = _bare([*law, *runs])
    return conclude(looks, sentence(law_says(looks[: len(law)], ""), runs_say(looks[len(law) :], "")))


def all_of(evidence: Evidence, signs: dict[Quantity, int]) -> Finding:
    """The conjunction of several directions along sparsity: only as good as its weakest part."""
    looks: list[Look] = []
    parts = []
    for quantity, sign in signs.items():
        found = along_sparsity(evidence, quantity, sign)
        rises = "rises" if sign > 0 else "falls"
        parts.append(f"{SYMBOL[quantity]} {rises}: {found.verdict}")
        looks += found.looks
    return conclude(_bare(looks), sentence(*parts))


def in_budget(evidence: Evidence, quantities: list[Quantity], sign: int) -> Finding:
    """Do optima at fixed sparsity move with the budget as claimed? The effect is that of the first quantity."""
    unit = f"{_of(quantities[0])} per e-fold of C"
    law = [look for one in quantities for look in _law_in_budget(evidence.voice, one, sign)]
    runs = list(few_budgets(evidence)) or [
        look
        for own in evidence.runs
        if len(own.budgets) > 1
        for one in quantities
        for look in _runs_in_budget(own, one, sign)
    ]
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def _law_in_budget(voice: LawVoice, quantity: Quantity, sign: int) -> tuple[Look, ...]:
    x = np.log(BUDGETS)

    def along(law: LawVoice, convention: Any) -> list[Trend]:
        tables = [law.optima(flops, convention)[quantity].to_numpy(float) for flops in BUDGETS]
        values = np.stack(tables) if quantity == "L" else np.log(np.stack(tables))
        return [trend(x, y, y, sign) for y in values.T]

    looks = tuple(
        Look("law", f"{SYMBOL[quantity]} at S = {s:g}, {convention}", one.verdict, one.value)
        for convention in CONVENTIONS
        for s, one in zip(SPARSITIES, along(voice, convention), strict=True)
    )
    if voice.form_allows_one_sign(lambda one: np.array([t.value for t in along(one, "ideal")])):
        return says_nothing(looks, FORM, UNTESTED)
    if all(one.in_mean for convention in CONVENTIONS for one in along(voice.blind, convention)):
        return says_nothing(looks, NOTHING, "partial")
    return looks


def _runs_in_budget(runs: Runs, quantity: Quantity, sign: int) -> Iterable[Look]:
    shared = sorted(set.intersection(*(set(runs.cells[flops]["S"]) for flops in runs.budgets)))

    def seen(s: float, column: str, null: bool) -> Trend:
        found = [runs.optima(flops, column, None, null) for flops in runs.budgets]
        at = [int(np.flatnonzero(one.sparsity == s)[0]) for one in found]
        pick = [(one.loss, one.losses) if quantity == "L" else (one.size, one.sizes) for one in found]
        estimate = np.array([own[i] for (own, _), i in zip(pick, at, strict=True)])
        draws = np.stack([own[:, i] for (_, own), i in zip(pick, at, strict=True)], axis=1)
        return trend(np.log(runs.budgets), estimate, draws, sign)

    built = next(iter(COLUMNS[quantity].values()))
    trivial = runs.noise_known() and all(seen(s, built, True).in_mean for s in shared)
    for convention, column in COLUMNS[quantity].items():
        named = f"{SYMBOL[quantity]}, {convention}, S ="
        looks = [look_of(seen(s, column, False), f"{named} {s:g}", runs) for s in shared]
        yield from says_nothing(looks, NOTHING, "partial") if trivial else looks


def in_budget_more(evidence: Evidence, quantity: Quantity, sign: int) -> Finding:
    """Does the slope of an optimum along sparsity itself move with the budget as claimed?"""
    unit = f"change of the slope of {SYMBOL[quantity]} per e-fold of C"
    voice = evidence.voice

    def slopes(law: LawVoice, convention: Any) -> Array:
        return np.array([law_slope(law, quantity, flops, convention) for flops in BUDGETS])

    def seen(law: LawVoice, convention: Any) -> Trend:
        y = slopes(law, convention)
        return trend(np.log(BUDGETS), y, y, sign)

    law = [Look("law", one, seen(voice, one).verdict, seen(voice, one).value) for one in CONVENTIONS]
    if voice.form_allows_one_sign(lambda one: np.array([seen(one, "ideal").value])):
        law = list(says_nothing(law, FORM, UNTESTED))
    runs = list(few_budgets(evidence)) or [
        look_of(trend(np.log(own.budgets), *run_slopes(own, quantity, column), sign), convention, own)
        for own in evidence.runs
        if len(own.budgets) > 1
        for convention, column in COLUMNS[quantity].items()
    ]
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def law_slope(law: LawVoice, quantity: Quantity, flops: float, convention: Any) -> float:
    """The slope of an optimum of the law over -log(1-S) at one budget."""
    at = law.optima(flops, convention)
    y = at[quantity].to_numpy(float) if quantity == "L" else np.log(at[quantity].to_numpy(float))
    return float(np.polyfit(at["s"], y, 1)[0])


def run_slopes(runs: Runs, quantity: Quantity, column: str) -> tuple[Array, Array]:
    """The slope along sparsity at every budget, `[budgets]`, and its draws."""
    found = [runs.optima(flops, column) for flops in runs.budgets]
    pick = [(one.s, one.loss, one.losses) if quantity == "L" else (one.s, one.size, one.sizes) for one in found]
    estimate = np.array([np.polyfit(s, own, 1)[0] for s, own, _ in pick])
    return estimate, np.stack([np.polyfit(s, drawn.T, 1)[0] for s, _, drawn in pick], axis=1)


def few_budgets(evidence: Evidence, least: int = LEAST_BUDGETS) -> tuple[Look, ...]:
    """A look that says how many budgets are missing; empty if some recipe has enough."""
    if any(len(runs.budgets) >= least for runs in evidence.runs):
        return ()
    return no_runs(evidence, least)


def no_runs(evidence: Evidence, least: int) -> tuple[Look, ...]:
    """A look that says how many complete budgets there are of those needed."""
    have = max((len(runs.budgets) for runs in evidence.runs), default=0)
    note = f"{have} complete {'budget' if have == 1 else 'budgets'} of at least {least}"
    if evidence.asked:
        note += f" ({evidence.waiting(*(name for name in SURFACES if name in evidence.asked))})"
    return (Look("runs", "none", UNTESTED, note=note),)


def _seen(
    runs: Runs, quantity: Quantity, flops: float, convention: str, degrees: Any, sign: int, null: bool = False
) -> Trend:
    column = COLUMNS[quantity].get(convention, next(iter(COLUMNS[quantity].values())))
    found = runs.optima(flops, column, degrees, null)
    return (
        trend(found.s, found.loss, found.losses, sign)
        if quantity == "L"
        else trend(found.s, found.size, found.sizes, sign)
    )


def _law_look(found: Trend, flops: float, convention: str) -> Look:
    return Look("law", f"{number(flops)} FLOPs, {convention}", found.verdict, found.value)


def look_of(found: Trend, name: str, runs: Runs) -> Look:
    """A trend of our runs as a look."""
    return Look("runs", name, found.verdict, found.value, found.low, found.high, "", runs.recipe, found.every_step)


def _in_compute(evidence: Evidence) -> str:
    """What the sparsest model is worth in multiples of the dense model's compute, by the law."""
    found = [compute_multiple(evidence.law, flops, SPARSITIES[-1], "one-embedding") for flops in BUDGETS]
    return f"by the law S = {SPARSITIES[-1]:g} is worth {found[0]:.2g} to {found[-1]:.2g} times the dense compute"


def _unit(quantity: Quantity) -> str:
    return f"{_of(quantity)} per e-fold of 1/(1-S)"


def _of(quantity: Quantity) -> str:
    return "nats" if quantity == "L" else f"e-folds of {SYMBOL[quantity]}"


def _bare(looks: Sequence[Look]) -> list[Look]:
    """Looks of different quantities side by side, whose effects cannot be compared."""
    return [Look(x.voice, x.name, x.verdict, note=x.note, recipe=x.recipe) for x in looks]
