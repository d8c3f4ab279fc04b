"""Claims about the best sparsity at a fixed total size (Section 2.2 and D.2)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from moe_lib.accounting import CONVENTIONS
from moe_lib.claims.directions import few_budgets, look_of, no_runs
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import HOLDS, UNTESTED, Finding, Look, Voice, conclude, says_nothing
from moe_lib.claims.law_voice import LOOKS, LawVoice
from moe_lib.claims.our_runs import N_SIZES, ROUTES, Runs
from moe_lib.claims.trend import LEAST, Trend, part_verdict, share_verdict, trend
from moe_lib.claims.words import FORM, NOTHING, law_says, number, runs_say, sentence
from moe_lib.laws.basis import Array, feature
from moe_lib.laws.implications import size_for_sparsity
from moe_lib.laws.isoflop import Degrees
from moe_lib.laws.optimum import Budget
from moe_lib.paper import BUDGETS, DEGREES, SIZES, SPARSITIES

SPARSEST = float(feature("S", SPARSITIES[-1]))
ENDS = BUDGETS[0], BUDGETS[-1]
EMBEDDINGS = {"N_one": "counted with one embedding matrix", "N_two": "counted with two embedding matrices"}


def along_size(evidence: Evidence, sign: int) -> Finding:
    """Does S* move with the size at a fixed budget as claimed?"""
    unit, voice = "e-folds of 1/(1-S*) per e-fold of N", evidence.voice
    x = np.log(voice.sizes)

    def law_look(law: LawVoice, at: Any) -> Look:
        s = law.best_sparsity(*at)
        found = trend(x, s, s, sign, level_steps=True)
        return Look("law", _named(at), found.verdict, found.value)

    def run_look(runs: Runs, flops: float, column: str, null: bool) -> Look:
        found = trend(np.log(runs.sizes(flops, column)), *runs.best_sparsity(flops, column, null=null), sign, True)
        return look_of(found, f"{number(flops)} FLOPs, {column}", runs)

    law = _law_looks(voice, law_look)
    runs = _runs_looks(evidence, run_look)
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def interior(evidence: Evidence, any_size: bool = False) -> Finding:
    """Is the best sparsity at a fixed size an interior one, above 0 and below the sparsest trained?

    With `any_size`, one size without is a counterexample.
    """
    unit = "of the sizes"

    def inside(s: Array) -> Array:
        return np.asarray((s > LEAST) & (s < SPARSEST - LEAST))

    def law_look(law: LawVoice, at: Any) -> Look:
        share = float(inside(law.best_sparsity(*at)).mean())
        return Look("law", _named(at), "contradicted" if any_size and share < 1 else part_verdict(share), share)

    def run_look(runs: Runs, flops: float, column: str, null: bool) -> Look:
        own = runs.cells[flops][column]
        sizes = tuple(np.geomspace(own.min(), own.max(), N_SIZES).tolist()) if any_size else ()
        estimate, draws = runs.best_sparsity(flops, column, null=null, sizes=sizes)
        each = [share_verdict(float(one)) for one in inside(draws).mean(axis=0)]
        share = float(inside(estimate).mean())
        verdict = part_verdict(share) if UNTESTED not in each else UNTESTED
        if any_size and "contradicted" in each:
            verdict = "contradicted"
        low, high = (each.count("reproduced") / len(each), 1 - each.count("contradicted") / len(each))
        return Look("runs", f"{number(flops)} FLOPs, {column}", verdict, share, low, high, "", runs.recipe)

    law, runs = _law_looks(evidence.voice, law_look), _runs_looks(evidence, run_look)
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def towards_one(evidence: Evidence) -> Finding:
    """Is there a size, among those that the paper trained, above which the sparsest model is best?"""
    unit = "parameters, from which S* is above .98"

    def law_look(law: LawVoice, at: Any) -> Look:
        size = size_for_sparsity(Budget(law.law, *at), SPARSITIES[-1])
        if np.isnan(size):
            return Look("law", _named(at), "contradicted")
        return Look("law", _named(at), "reproduced" if size <= SIZES[1] else "partial", size)

    def run_look(runs: Runs, flops: float, column: str, null: bool) -> Look:
        estimate, draws = runs.best_sparsity(flops, column, null=null)
        sparsest = float(feature("S", runs.cells[flops]["S"].max()))
        share = float((draws[:, -1] >= sparsest - LEAST).mean())
        rising = trend(np.log(runs.sizes(flops, column)), estimate, draws, 1, level_steps=True).in_mean
        verdict = share_verdict(share)
        if verdict == "contradicted" and rising:  # it may still be reached at larger sizes
            verdict = UNTESTED
        value = float(-np.expm1(-estimate[-1]))
        note = f"S* is {number(value)} at the largest size that all sparsities share, {EMBEDDINGS[column]}"
        return Look("runs", f"{number(flops)} FLOPs, {column}", verdict, None, None, None, note, runs.recipe)

    law, runs = _law_looks(evidence.voice, law_look), _runs_looks(evidence, run_look)
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, "")), unit)


def finite_size(evidence: Evidence) -> Finding:
    """Is the best size at every sparsity among the sizes trained?"""
    unit = "of the optima among the sizes trained"

    def law_look(law: LawVoice, at: Any) -> Look:
        share = float(law.optima(*at)["N"].between(*SIZES).mean())
        return Look("law", _named(at), part_verdict(share), share)

    def run_look(runs: Runs, flops: float, column: str, null: bool) -> Look:
        share = runs.optima(flops, column, None, null).inside
        return Look("runs", f"{number(flops)} FLOPs, {column}", part_verdict(share), share, None, None, "", runs.recipe)

    law, runs = _law_looks(evidence.voice, law_look), _runs_looks(evidence, run_look)
    largest = max(float(evidence.voice.optima(*at)["N"].iloc[-1]) for at in LOOKS)
    beyond = f"at S = {SPARSITIES[-1]:g} it asks for up to {number(largest)} parameters, the paper's largest has "
    return conclude([*law, *runs], sentence(law_says(law, unit), beyond + number(SIZES[1]), runs_say(runs, unit)), unit)


def along_budget(evidence: Evidence, sign: int) -> Finding:
    """Does S* at a fixed size move with the budget as claimed?"""
    unit, voice, x = "e-folds of 1/(1-S*) per e-fold of C", evidence.voice, np.log(BUDGETS)

    def moved(law: LawVoice, convention: Any, budgets: Sequence[float] = BUDGETS) -> Array:
        return np.stack([law.best_sparsity(flops, convention) for flops in budgets])  # [budgets, sizes]

    law = []
    for convention in CONVENTIONS:
        for size, s in zip(voice.sizes, moved(voice, convention).T, strict=True):
            if np.ptp(s) > LEAST:
                found = trend(x, s, s, sign, level_steps=True)
                law.append(Look("law", f"N = {number(size)}, {convention}", found.verdict, found.value))
    if voice.form_allows_one_sign(lambda one: np.diff(moved(one, "ideal", ENDS), axis=0)):
        law = list(says_nothing(law, FORM, UNTESTED))
    elif all(_never(sign * np.diff(moved(voice.blind, one), axis=0)) for one in CONVENTIONS):
        law = list(says_nothing(law, NOTHING, "partial"))
    runs = list(few_budgets(evidence)) or [
        look for own in evidence.runs if len(own.budgets) > 1 for look in _runs_along_budget(own, sign)
    ]
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def _runs_along_budget(runs: Runs, sign: int) -> list[Look]:
    ends = [runs.sizes(flops)[[0, -1]] for flops in runs.budgets]
    low, high = max(end[0] for end in ends), min(end[1] for end in ends)
    if low >= high:
        return [Look("runs", "none", UNTESTED, note="no size is among the runs of all budgets", recipe=runs.recipe)]
    sizes = tuple(np.geomspace(low, high, 3).tolist())

    def seen(i: int, degrees: Degrees | None, null: bool) -> Trend:
        found = [runs.best_sparsity(flops, degrees=degrees, sizes=sizes, null=null) for flops in runs.budgets]
        estimate = np.array([own[i] for own, _ in found])
        draws = np.stack([own[:, i] for _, own in found], axis=1)
        return trend(np.log(runs.budgets), estimate, draws, sign, level_steps=True)

    looks = [
        look_of(seen(i, degrees, False), f"N = {number(size)}, {route}", runs)
        for route, degrees in ROUTES
        for i, size in enumerate(sizes)
    ]
    if runs.noise_known() and all(seen(i, DEGREES, True).in_mean for i in range(len(sizes))):
        return list(says_nothing(looks, NOTHING, "partial"))
    return looks


def _never(moves: Array) -> bool:
    """Whether nothing moves against the claim, and something with it."""
    return bool(np.all(moves > -LEAST) and np.any(moves > LEAST))


def dense_below(evidence: Evidence, size: float) -> Finding:
    """Is the dense model the best of its size below `size` at most budgets?"""
    unit, voice = f"of the budgets with a threshold above {number(size)} parameters", evidence.voice

    def share(law: LawVoice, convention: Any) -> float:
        return float(np.mean([_threshold(law, flops, convention) > size for flops in BUDGETS]))

    law = [
        Look("law", one, "reproduced" if share(voice, one) > 0.5 else "contradicted", share(voice, one))
        for one in CONVENTIONS
    ]
    if all(share(voice.blind, one) > 0.5 for one in CONVENTIONS):
        law = list(says_nothing(law, NOTHING, "partial"))
    largest = max((row["n_params"] for row in evidence.every_row), default=0)
    runs = [Look("runs", "sizes", UNTESTED, note=f"our largest model has {number(largest)} parameters")]
    if largest >= size:
        above = [(own, np.exp(_run_thresholds(own)[1]) > size) for own in evidence.runs if own.budgets]
        shares = [(own, float((draws.mean(axis=1) > 0.5).mean())) for own, draws in above]
        runs = [Look("runs", "budgets", share_verdict(at), at, recipe=own.recipe) for own, at in shares]
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, "")), unit)


def threshold_in_budget(evidence: Evidence, sign: int) -> Finding:
    """Does the size below which dense is best move with the budget as claimed?"""
    unit, voice, x = "e-folds of the threshold per e-fold of C", evidence.voice, np.log(BUDGETS)

    def thresholds(law: LawVoice, convention: Any, budgets: Sequence[float] = BUDGETS) -> Array:
        return np.log([_threshold(law, flops, convention) for flops in budgets])

    law = []
    for convention in CONVENTIONS:
        y = thresholds(voice, convention)
        found = trend(x, y, y, sign) if np.all(np.isfinite(y)) else None
        law.append(Look("law", convention, found.verdict if found else UNTESTED, found.value if found else None))
    if voice.form_allows_one_sign(lambda one: np.nan_to_num(np.diff(thresholds(one, "ideal", ENDS)))):
        law = list(says_nothing(law, FORM, UNTESTED))
    elif all(_never(sign * np.diff(thresholds(voice.blind, one))) for one in CONVENTIONS):
        law = list(says_nothing(law, NOTHING, "partial"))
    runs = list(few_budgets(evidence))
    for own in evidence.runs if not runs else []:
        budgets = np.log(own.budgets)
        looks = [
            look_of(trend(budgets, *_run_thresholds(own, degrees), sign), f"threshold, {route}", own)
            for route, degrees in ROUTES
        ]
        trivial = own.noise_known() and trend(budgets, *_run_thresholds(own, DEGREES, null=True), sign).in_mean
        runs += says_nothing(looks, NOTHING, "partial") if trivial else looks
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def plateau_then_concave(evidence: Evidence) -> Finding:
    """Is S* zero for small sizes, and -log(1-S*) concave in log N beyond?"""
    unit = "of the two"

    def holds(s: Array) -> Array:
        """Whether there is a plateau, and whether what follows it is concave, `[2, ...]`."""
        plateau = s[..., 0] <= LEAST
        first, last = np.diff(s, axis=-1), s[..., 1:] >= SPARSEST
        rising = (first[..., :-1] > LEAST) & ~last[..., 1:] & (s[..., :-2] > LEAST)
        bends = np.where(rising, np.diff(first, axis=-1), 0)
        return np.stack([plateau, np.all(bends <= LEAST, axis=-1) & np.any(rising, axis=-1)])

    def law_look(law: LawVoice, at: Any) -> Look:
        share = float(holds(law.best_sparsity(*at)).mean())
        return Look("law", _named(at), part_verdict(share), share)

    def run_look(runs: Runs, flops: float, column: str, null: bool) -> Look:
        estimate, draws = runs.best_sparsity(flops, column, null=null)
        each = [share_verdict(float(one)) for one in holds(draws).mean(axis=1)]
        verdict = UNTESTED if UNTESTED in each else part_verdict(each.count("reproduced") / 2)
        low, high = each.count("reproduced") / 2, 1 - each.count("contradicted") / 2
        value = float(holds(estimate).mean())
        return Look("runs", f"{number(flops)} FLOPs, {column}", verdict, value, low, high, "", runs.recipe)

    law, runs = _law_looks(evidence.voice, law_look), _runs_looks(evidence, run_look)
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def mechanism(evidence: Evidence) -> Finding:
    """Does sparsity hurt the smallest model through its active parameters, and help the largest through tokens?"""
    unit = "of the gain of the largest model from its tokens"

    def look(law: LawVoice, at: Any, sizes: tuple[float, float], voice: Voice, recipe: str = "") -> Look:
        small, large = (_moved(Budget(law.law, *at), size) for size in sizes)
        hurt = sum(small[name] for name in ("a", "d")) / max(sum(x for x in small.values() if x > 0), LEAST)
        helped = large["b"] / min(sum(x for x in large.values() if x < 0), -LEAST)
        verdict = part_verdict(((hurt > 0.5) + (helped > 0.5)) / 2)
        return Look(voice, _named(at), verdict, helped, recipe=recipe)

    law = _law_looks(evidence.voice, lambda law, at: look(law, at, SIZES, "law"))
    runs: list[Look] = list(few_budgets(evidence))
    for own in evidence.runs:
        if own.law is not None:
            ends, fitted = (own.table["N"].min(), own.table["N"].max()), LawVoice(own.law)
            looks = [(flops, one) for flops in own.budgets for one in CONVENTIONS]
            found = [look(fitted, at, ends, "runs", own.recipe) for at in looks]
            trivial = all(look(fitted.blind, at, ends, "runs").verdict in HOLDS for at in looks)
            runs += says_nothing(found, NOTHING, "partial") if trivial else found
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def _moved(budget: Budget, size: float) -> dict[str, float]:
    """By how much every term of a law moves from dense to the sparsest at one size, nats."""

    def at(s: float) -> dict[str, float]:
        columns = {"N": size, "S": s, "Na": budget.active(size, s), "D": budget.tokens(size, s)}
        terms = budget.law.terms(**{name: columns[name] for name in budget.law.form.inputs})
        return {name: float(term) for name, term in terms.items()}

    dense, sparsest = at(SPARSITIES[0]), at(SPARSITIES[-1])
    return {name: sparsest[name] - dense[name] for name in dense}


def _threshold(law: LawVoice, flops: float, convention: Any) -> float:
    """The size below which the dense model is best; NaN if there is none."""
    return size_for_sparsity(Budget(law.law, flops, convention), 0.0)


def _run_thresholds(runs: Runs, degrees: Degrees | None = None, null: bool = False) -> tuple[Array, Array]:
    """Log of the largest size at which S* is zero at every budget (the smallest size, if at none), with its draws."""
    estimates, drawn = [], []
    for flops in runs.budgets:
        cells = runs.cells[flops]["N_one"]
        sizes = np.geomspace(cells.min(), cells.max(), 24)
        estimate, draws = runs.best_sparsity(flops, degrees=degrees, null=null, sizes=tuple(sizes.tolist()))
        at = np.log(sizes)
        estimates.append(float(at[max((estimate <= LEAST).sum() - 1, 0)]))
        drawn.append(at[np.maximum((draws <= LEAST).sum(axis=1) - 1, 0)])
    return np.array(estimates), np.stack(drawn, axis=1)


def _named(at: Any) -> str:
    return f"{number(at[0])} FLOPs, {at[1]}"


def _law_looks(voice: LawVoice, look: Callable[[LawVoice, Any], Look]) -> tuple[Look, ...]:
    """Looks at every budget and convention, weakened if the law would say the same without an effect of sparsity."""
    looks = tuple(look(voice, at) for at in LOOKS)
    if all(look(voice.blind, at).verdict in HOLDS for at in LOOKS):
        return says_nothing(looks, NOTHING, "partial")
    return looks


def _runs_looks(evidence: Evidence, look: Callable[[Runs, float, str, bool], Look]) -> tuple[Look, ...]:
    """Looks at every complete budget of every recipe under the conventions of N, weakened likewise."""
    looks: list[Look] = []
    for runs in evidence.runs:
        for flops in runs.budgets:
            own = [look(runs, flops, column, False) for column in ("N_one", "N_two")]
            if runs.noise_known() and look(runs, flops, "N_one", True).verdict in HOLDS:
                own = list(says_nothing(own, NOTHING, "partial"))
            looks += own
    return tuple(looks or no_runs(evidence, 1))
