"""Claims about downstream tasks (Section 4, D.3), by the probes of our runs.

Each probe is put on the scale of the upstream loss: an effect of x means that going from S = 0 to 1 at equal loss
changes the probe as x nats of upstream loss do. A probe that does not follow the loss measures nothing here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from moe_lib.analysis.probes import CATEGORIES, MARGIN, effect_of_sparsity
from moe_lib.claims.directions import few_budgets
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude
from moe_lib.claims.our_runs import Runs
from moe_lib.claims.trend import sign_verdict
from moe_lib.claims.words import number, runs_say, sentence
from moe_lib.ledger import Row
from moe_lib.paper import BUDGETS

UNIT = "nats of upstream loss, from S = 0 to 1"
MORE_COMPUTE = ("chain_of_thought", "pause_tokens")  # probes that would spend more compute per answer


def loss_decides(evidence: Evidence, categories: list[str]) -> Finding:
    """Is the effect of sparsity at equal loss zero, within the margin, for the probes of some categories?"""

    def judged(row: Any) -> Verdict:
        if row["equivalent"]:
            return "reproduced"
        return "contradicted" if row["p_holm"] < 0.05 and abs(row["effect"]) > MARGIN else UNTESTED

    probes = [probe for name in categories for probe in CATEGORIES.get(name, ())]
    absent = [name for name in categories if name not in CATEGORIES]
    looks = _looks(evidence, probes, judged)
    missing = f"no probe of ours is about {', '.join(absent)}" if absent else ""
    if absent or any(look.verdict == UNTESTED for look in looks):  # not every task could be judged
        looks = [replace(look, verdict="partial") if look.verdict == "reproduced" else look for look in looks]
    return conclude(looks or _none(missing), sentence(_says(looks), missing), UNIT)


def sparser_is_worse(evidence: Evidence, categories: list[str]) -> Finding:
    """Is the effect of sparsity at equal loss positive, thus worse, for the probes of some categories?"""

    def judged(row: Any) -> Verdict:
        return sign_verdict(row["effect"], row["low"], row["high"], 1)

    probes = [probe for name in categories for probe in CATEGORIES.get(name, ())]
    looks = _looks(evidence, probes, judged)
    return conclude(looks or _none("no probe"), sentence(_says(looks)), UNIT)


def varied(evidence: Evidence, category: str) -> Finding:
    """Do tasks of one category differ in the effect of sparsity? It needs at least two tasks of it."""
    tasks = {name for row in evidence.every_row for name in row.get("tasks") or {} if category in name}
    probes = CATEGORIES.get(category, ())
    looks = _looks(evidence, probes, lambda row: sign_verdict(row["effect"], row["low"], row["high"], 1))
    signs = {look.verdict for look in looks}
    verdict: Verdict = "reproduced" if len(signs - {UNTESTED}) > 1 else "contradicted" if len(probes) > 1 else UNTESTED
    grounds = f"{len(probes)} probes and {len(tasks)} few-shot tasks of our runs are about {category}; two are needed"
    return conclude([Look("runs", category, verdict)], sentence(grounds))


def cause(evidence: Evidence, categories: list[str]) -> Finding:
    """Do log N_a, and so FLOPs per example, explain a probe better than sparsity, if sparsity has an effect on it?"""

    def judged(row: Any) -> Verdict:
        if row["p_holm"] >= 0.05:
            return UNTESTED
        gap = row["aic_sparsity"] - row["aic_n_params_active"]
        return "reproduced" if gap > 2 else "contradicted" if gap < -2 else UNTESTED

    looks = _looks(evidence, [probe for name in categories for probe in CATEGORIES[name]], judged)
    effect = f"{sum(look.verdict != UNTESTED for look in looks)} of {len(looks)} looks have an effect to explain"
    return conclude(looks or _none("no probe"), sentence(effect, _says(looks)), UNIT)


def shrinks_with_budget(evidence: Evidence, categories: list[str]) -> Finding:
    """Is the effect of sparsity at equal loss smaller at larger budgets?"""
    looks: list[Look] = list(few_budgets(evidence))
    for runs in evidence.runs if not looks else []:
        ends = [runs.budgets[0], runs.budgets[-1]]
        for probe in (probe for name in categories for probe in CATEGORIES[name]):
            low, high = (_effect(runs, probe, flops, tests=1) for flops in ends)
            if not isinstance(low, str) and not isinstance(high, str):
                gap = high["effect"] - low["effect"]
                half = np.hypot(high["high"] - high["effect"], low["high"] - low["effect"])
                verdict = sign_verdict(gap, gap - half, gap + half, -1)
                looks.append(Look("runs", probe, verdict, gap, gap - half, gap + half, "", runs.recipe))
    return conclude(looks or _none("no probe at two budgets"), sentence(_says(looks)), UNIT)


def more_inference(evidence: Evidence) -> Finding:
    """Does more compute per answer close the gap? Runs would have to record such a probe."""
    rows = [row for row in evidence.every_row if set(MORE_COMPUTE) & set(row.get("probes") or {})]
    gains = [_gain(row) for row in rows]
    looks = [Look("runs", "gain", sign_verdict(g, g, g, 1), g) for g in gains]
    grounds = (
        f"{len(rows)} of {len(evidence.every_row)} runs record a probe with chain of thought or pause tokens; "
        "Nakamura et al. (2025), 2508.18672, report that test-time compute does not close the gap"
    )
    return conclude(looks or _none("no such probe"), sentence(grounds))


def artefact_of_scale(evidence: Evidence, factor: float) -> Finding:
    """Would larger models show a benefit beyond pretraining? It needs budgets far above the paper's."""
    largest = max((row["flops"] for row in evidence.every_row), default=0.0)
    needed = factor * BUDGETS[-1]
    found = loss_decides(evidence, list(CATEGORIES)) if largest >= needed else None
    verdict: Verdict = (
        UNTESTED if found is None else "reproduced" if found.verdict == "contradicted" else "contradicted"
    )
    grounds = f"it needs runs of {number(needed)} FLOPs, and the largest of ours has {number(largest)}"
    return conclude([Look("runs", "scale", verdict)], sentence(grounds))


def _looks(evidence: Evidence, probes: Any, judged: Callable[[Any], Verdict]) -> list[Look]:
    looks = []
    for runs in evidence.runs:
        for flops in runs.budgets:
            for probe in probes:
                found, name = _effect(runs, probe, flops, len(probes)), f"{probe}, {number(flops)} FLOPs"
                if isinstance(found, str):
                    looks.append(Look("runs", name, UNTESTED, note=f"{probe}: {found}", recipe=runs.recipe))
                    continue
                power = f"{probe}: an effect above {number(found['high'] - found['effect'])} would have been seen"
                ends = found["effect"], found["low"], found["high"]
                looks.append(Look("runs", name, judged(found), *ends, power, runs.recipe))
    return looks


def _effect(runs: Runs, probe: str, flops: float, tests: int) -> "pd.Series[Any] | str":
    """`effect_of_sparsity` on one probe at one budget."""
    rows = [row for row in runs.rows if row["status"] == "done" and row["config"]["training"]["flops"] == flops]
    return effect_of_sparsity(rows, probe, tests)


def _gain(row: Row) -> float:
    probes = row["probes"]
    return float(np.mean([probes[name]["gain"] for name in MORE_COMPUTE if name in probes]))


def _says(looks: list[Look]) -> str:
    return runs_say(looks, UNIT) if looks else ""


def _none(why: str) -> list[Look]:
    return [Look("runs", "probes", UNTESTED, note=why)]
