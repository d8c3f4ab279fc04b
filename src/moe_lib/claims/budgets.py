"""Claims about the training budget (Section 3) and about separate parabolas (D.4)."""

from typing import Any

import numpy as np

from moe_lib.accounting import CONVENTIONS
from moe_lib.claims.directions import few_budgets, law_slope, no_runs, run_slopes
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude
from moe_lib.claims.law_voice import LOOKS
from moe_lib.claims.our_runs import COLUMNS, Runs
from moe_lib.claims.trend import LEAST, sign_verdict, trend
from moe_lib.claims.words import law_says, number, runs_say, sentence, span
from moe_lib.laws.basis import feature
from moe_lib.laws.implications import compute_multiple
from moe_lib.laws.interval import interval
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parabola import vertex_of
from moe_lib.paper import BUDGETS, SIZES, SPARSITIES

SAME = 0.1  # relative change of a slope over all budgets that counts as none


def same_slope(evidence: Evidence) -> Finding:
    """Is what sparsity gains the same at all budgets, in nats, and not less in multiples of compute?"""
    unit = "times the slope of the smallest budget (nats)"
    law = []
    for convention in CONVENTIONS:
        ends = [law_slope(evidence.voice, "L", flops, convention) for flops in (BUDGETS[0], BUDGETS[-1])]
        ratio = ends[1] / ends[0] if abs(ends[0]) > LEAST else None
        law.append(Look("law", f"nats, {convention}", _same(ratio, ends[0]), ratio))
    worth = {
        one: [compute_multiple(evidence.law, flops, SPARSITIES[-1], one) for flops in (BUDGETS[0], BUDGETS[-1])]
        for one in CONVENTIONS
    }
    grows = [Look("law", f"compute, {one}", _grows(*ends)) for one, ends in worth.items()]
    runs: list[Look] = list(few_budgets(evidence))
    for own in evidence.runs:
        if len(own.budgets) > 1:
            for counted, column in COLUMNS["L"].items():
                estimate, draws = run_slopes(own, "L", column)
                low, high = (float(end) for end in interval(draws[:, -1] / draws[:, 0]))
                change, falls = float(estimate[-1] / estimate[0]), float(interval(draws[:, 0])[1]) < 0
                verdict = _within(low, high) if falls else UNTESTED
                runs.append(Look("runs", f"nats, {counted}", verdict, change, low, high, "", own.recipe))
    compute = f"in compute S = {SPARSITIES[-1]:g} is worth " + ", ".join(
        f"{number(ends[0])} times at the smallest and {number(ends[1])} at the largest budget ({one})"
        for one, ends in worth.items()
    )
    return conclude([*law, *grows, *runs], sentence(law_says(law, unit), compute, runs_say(runs, unit)), unit)


def unconstrained(evidence: Evidence) -> Finding:
    """Is the sparsest model best if the size is free?"""
    law, sizes = [], []
    for flops, convention in LOOKS:
        budget = Budget(evidence.law, flops, convention)
        size, s = budget.best()
        gain = float(budget.loss(budget.best_size(0.0), 0.0) - budget.loss(size, s))
        sizes.append(size)
        verdict: Verdict = "contradicted"
        if s >= SPARSITIES[-1] and gain > LEAST:
            verdict = "reproduced" if size <= SIZES[1] else "partial"
        law.append(Look("law", f"{number(flops)} FLOPs, {convention}", verdict, float(s)))
    beyond = f"the law's optimum has {span(sizes)} parameters, and the largest model of the paper {number(SIZES[1])}"
    runs: list[Look] = []
    for own in evidence.runs:
        for flops in own.budgets:
            for counted, column in COLUMNS["L"].items():
                found = own.optima(flops, column)
                steps = found.losses[:, -2] - found.losses[:, -1]
                low, high = (float(end) for end in interval(steps))
                value, name = float(found.loss[-2] - found.loss[-1]), f"{number(flops)} FLOPs, {counted}"
                runs.append(Look("runs", name, sign_verdict(value, low, high, 1), value, low, high, "", own.recipe))
    runs = runs or list(no_runs(evidence, 1))
    nats = "nats from the last step in sparsity"
    unit = nats if any(look.verdict != UNTESTED for look in runs) else "as best S"
    return conclude([*law, *runs], sentence(law_says(law, "as best S"), beyond, runs_say(runs, nats)), unit)


def parabolas_agree(evidence: Evidence) -> Finding:
    """Do separate parabolas show the same directions as the surface, and the same optima within their intervals?"""
    unit = "of the vertices agree with the surface"
    law = []
    for flops in BUDGETS:
        ends = [_law_vertices(evidence, flops, size) for size in ("N", "Na")]
        s = feature("S", SPARSITIES)
        right = [sign * np.polyfit(s, n, 1)[0] > 0 for n, sign in zip(ends, (1, -1), strict=True)]
        true = np.log(evidence.voice.optima(flops, "ideal")["N"].to_numpy(float))
        verdict: Verdict = "reproduced" if all(right) else "partial" if any(right) else "contradicted"
        law.append(Look("law", f"{number(flops)} FLOPs", verdict, float(np.mean(np.abs(ends[0] - true) < np.log(1.1)))))
    runs = [_parabola_look(own, flops) for own in evidence.runs for flops in own.budgets] or list(no_runs(evidence, 1))
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


def _parabola_look(runs: Runs, flops: float) -> Look:
    agree, holds, same = [], [], []
    for quantity, column, sign in (("N", "N_one", 1), ("Na", "Na_one", -1), ("L", "Na_one", -1)):
        single, surface = runs.parabolas(flops, column), runs.optima(flops, column)
        pairs = [(one.loss, one.losses) if quantity == "L" else (one.size, one.sizes) for one in (single, surface)]
        found = [trend(single.s, estimate, draws, sign) for estimate, draws in pairs]
        holds.append(found[0].in_mean)
        same.append(found[0].in_mean == found[1].in_mean)
        ends = [interval(draws) for _, draws in pairs]
        agree += list((ends[0][0] <= ends[1][1]) & (ends[1][0] <= ends[0][1]))
    share = float(np.mean(agree))
    verdict: Verdict = "contradicted"
    if any(holds):
        verdict = "reproduced" if all(holds) and all(same) and share >= 0.9 else "partial"
    return Look("runs", f"{number(flops)} FLOPs", verdict, share, recipe=runs.recipe)


def _law_vertices(evidence: Evidence, flops: float, size: str) -> Any:
    """Log sizes at the vertices of parabolas through seven losses of the law about the middle of its optima."""
    budget, found = Budget(evidence.law, flops), []
    middle = float(np.exp(np.log(evidence.voice.optima(flops, "ideal")[size]).mean()))
    for s in SPARSITIES:
        sizes = middle * np.geomspace(1 / 8, 8, 7)
        total = sizes / (1 - s) if size == "Na" else sizes
        found.append(vertex_of(np.log(sizes), np.asarray(budget.loss(total, s))).at)
    return np.array(found)


def _same(ratio: float | None, slope: float) -> Verdict:
    """Whether a loss that falls with sparsity does so as fast, within a tenth; without an effect there is no slope."""
    return "reproduced" if ratio is not None and slope < 0 and abs(ratio - 1) <= SAME else "contradicted"


def _within(low: float, high: float) -> Verdict:
    if low >= 1 - SAME and high <= 1 + SAME:
        return "reproduced"
    return "contradicted" if high < 1 - SAME or low > 1 + SAME else UNTESTED


def _grows(first: float, last: float) -> Verdict:
    """Whether a multiple of compute above one does not shrink."""
    return "reproduced" if last >= first > 1 else "contradicted"
