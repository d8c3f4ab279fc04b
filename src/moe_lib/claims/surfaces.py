"""Claims about the isoFLOP surfaces and how well they fit (Section 2, Appendices B and D.1)."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd

from moe_lib.analysis.statements import least_bend
from moe_lib.claims.directions import few_budgets, look_of, no_runs
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude, says_nothing
from moe_lib.claims.law_voice import LawVoice
from moe_lib.claims.our_runs import Runs
from moe_lib.claims.trend import sign_verdict, trend
from moe_lib.claims.words import FORM, NOTHING, law_says, number, runs_say, sentence
from moe_lib.laws.isoflop import Size, cross_validate, random_refits
from moe_lib.laws.optimum import Budget
from moe_lib.paper import BUDGETS, DEGREES, ERRORS, SIZES, SPARSITIES

STRAIGHT = 0.02  # largest relative distance of an optimum from its power law
MSE = 1e-4  # held-out, of both surfaces of Figure 1
HIGH = 0.9  # correlation that is called high
PER_SPARSITY, FACTOR = 7, 8.0  # sizes of the law's table at each sparsity, and how far they reach from the best
SIZES_OF: tuple[Size, ...] = ("N", "Na")


def power_law(evidence: Evidence) -> Finding:
    """Does the dense optimum grow as a power of C?"""
    unit = "exponent of N* in C"
    n = np.log([evidence.voice.optima(flops, "ideal")["N"].iloc[0] for flops in BUDGETS])
    line = np.polyfit(np.log(BUDGETS), n, 1)
    bend = float(np.abs(np.expm1(n - np.polyval(line, np.log(BUDGETS)))).max())
    law = [Look("law", "dense", "reproduced" if line[0] > 0 and bend <= STRAIGHT else "contradicted", float(line[0]))]
    runs: list[Look] = list(few_budgets(evidence, least=3))
    for own in evidence.runs:
        if len(own.budgets) >= 3:
            found = [own.optima(flops, "N_one") for flops in own.budgets]
            draws = np.stack([one.sizes[:, 0] for one in found], axis=1)
            runs.append(
                look_of(trend(np.log(own.budgets), np.array([f.size[0] for f in found]), draws, 1), "S = 0", own)
            )
    straight = f"the law's optima are within {bend:.1%} of a straight line"
    return conclude([*law, *runs], sentence(law_says(law, unit), straight, runs_say(runs, unit)), unit)


def best_degrees(evidence: Evidence) -> Finding:
    """Does cross-validation prefer the paper's degrees of Eq. 8?"""
    unit = "place of (2, 2, 2)"
    law = [
        _degrees_look(_law_cells(evidence.voice, flops), "N", f"{number(flops)} FLOPs", "") for flops in BUDGETS[::2]
    ]
    runs = [
        _degrees_look(cells, size, f"{name}, {size}", own.recipe)
        for own, name, cells in _ours(evidence)
        for size in SIZES_OF
    ]
    runs = runs or list(no_runs(evidence, 1))
    return conclude([*law, *runs], sentence(law_says(law, unit), _places(runs)), unit)


def log_transforms(evidence: Evidence) -> Finding:
    """Is the held-out error of Eq. 8 smaller with log N and -log(1-S) than with N and S themselves?"""
    unit = "times the held-out error without logarithms"
    law = [_logs_look(_law_cells(evidence.voice, flops), f"{number(flops)} FLOPs", "") for flops in BUDGETS]
    runs = [_logs_look(cells, name, own.recipe) for own, name, cells in _ours(evidence)] or list(no_runs(evidence, 1))
    return conclude([*law, *runs], sentence(law_says(law, unit), _values(runs, unit)), unit)


def held_out_error(evidence: Evidence) -> Finding:
    """Do both surfaces reach a held-out mean square error of 1e-4? Not testable if seeds alone differ by more."""
    unit = "held-out mean square error"
    law = []
    for flops in BUDGETS:
        for size in SIZES_OF:
            value = _mse(_law_cells(evidence.voice, flops, noise=False), size)
            law.append(
                Look("law", f"{number(flops)} FLOPs, {size}", "reproduced" if value <= MSE else "contradicted", value)
            )
    runs: list[Look] = []
    for own, name, cells in _ours(evidence):
        floor = own.noise**2 if own.noise_known() else np.inf
        for size in SIZES_OF:
            value = _mse(cells, size)
            verdict: Verdict = UNTESTED if floor > MSE else "reproduced" if value <= MSE else "contradicted"
            note = f"two seeds differ by {number(floor)} (variance), more than the claimed error" if floor > MSE else ""
            runs.append(Look("runs", f"{name}, {size}", verdict, value, note=note, recipe=own.recipe))
    runs = runs or list(no_runs(evidence, 1))
    return conclude([*law, *runs], sentence(law_says(law, unit), _values(runs, unit), runs[0].note), unit)


def correlation(evidence: Evidence) -> Finding:
    """Do random refits predict held-out losses with a high correlation, and would they if sparsity did nothing?"""
    unit = "median r of predicted and held-out losses"
    law = [_r_look(_law_cells(evidence.voice, flops), f"{number(flops)} FLOPs", "") for flops in BUDGETS]
    blind = [_r_look(_law_cells(evidence.voice.blind, flops), "", "") for flops in BUDGETS]
    if all(look.verdict == "reproduced" for look in blind):
        law = list(says_nothing(law, NOTHING, "partial"))
    runs: list[Look] = []
    for own, name, cells in _ours(evidence):
        look = _r_look(cells, name, own.recipe)
        trivial = _r_look(_flat(own, cells), name, own.recipe).verdict == "reproduced"
        runs += says_nothing([look], NOTHING, "partial") if trivial else [look]
    runs = runs or list(no_runs(evidence, 1))
    return conclude([*law, *runs], sentence(law_says(law, unit), _values(runs, unit), _notes(runs)), unit)


def valley(evidence: Evidence) -> Finding:
    """Is the loss a valley in log N at every sparsity?"""
    unit = "nats per squared e-fold of N, at the flattest S"
    voice = evidence.voice

    def bends(law: LawVoice) -> np.ndarray:
        budget, step, s = Budget(law.law, BUDGETS[2]), 0.5, np.array(SPARSITIES)
        n = np.log(law.optima(BUDGETS[2], "ideal")["N"].to_numpy(float))
        low, at, high = (budget.loss(np.exp(n + k * step), s) for k in (-1, 0, 1))
        return np.asarray((low - 2 * at + high) / step**2)

    value = float(bends(voice).min())
    law = [Look("law", "1e20 FLOPs", sign_verdict(value, value, value, 1), value)]
    if voice.form_allows_one_sign(bends):
        law = list(says_nothing(law, FORM, UNTESTED))
    runs: list[Look] = []
    for own in evidence.runs:
        for flops in own.budgets:
            sparsities = sorted(own.cells[flops]["S"].unique())
            for column in ("N_one", "N_two"):
                value, low, high = own.surface(flops, column).interval(lambda one, s=sparsities: least_bend(one, s))  # type: ignore[misc]
                name = f"{number(flops)} FLOPs, {column}"
                runs.append(Look("runs", name, sign_verdict(value, low, high, 1), value, low, high, "", own.recipe))
            if own.noise_known():
                null = own.surface(flops, "N_one", null=True)
                ends = null.interval(lambda one, s=sparsities: least_bend(one, s))  # type: ignore[misc]
                if sign_verdict(*ends, 1) == "reproduced":
                    runs[-2:] = says_nothing(runs[-2:], NOTHING, "partial")
    runs = runs or list(no_runs(evidence, 1))
    return conclude([*law, *runs], sentence(law_says(law, unit), runs_say(runs, unit)), unit)


@cache
def _law_cells(voice: LawVoice, flops: float, noise: bool = True) -> pd.DataFrame:
    """A table of the law's losses about its optima, with the noise that the law's printed error allows."""
    budget, rows = Budget(voice.law, flops), []
    for s, best in voice.optima(flops, "ideal")[["S", "N"]].itertuples(index=False):
        n = np.geomspace(max(best / FACTOR, SIZES[0]), min(best * FACTOR, max(SIZES[1], best)), PER_SPARSITY)
        rows.append(pd.DataFrame({"N": n, "S": s, "Na": budget.active(n, s), "L": budget.loss(n, s)}))
    table = pd.concat(rows, ignore_index=True)
    spread = ERRORS["fitted"]["mse"] ** 0.5 if noise else 0.0
    draws = np.random.default_rng(0).standard_normal(len(table))
    return table.assign(L=table["L"] + spread * draws)


def _ours(evidence: Evidence) -> Iterator[tuple[Runs, str, pd.DataFrame]]:
    for runs in evidence.runs:
        for flops, cells in runs.cells.items():
            yield runs, f"{number(flops)} FLOPs", cells


def _flat(runs: Runs, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells as if sparsity did nothing: every shape's mean loss, with the noise between seeds."""
    noise = runs.noise / np.sqrt(cells["n"]) if runs.noise_known() else 0.0
    draws = np.random.default_rng(0).standard_normal(len(cells))
    return cells.assign(L=cells.groupby("shape")["L"].transform("mean") + noise * draws)


def _degrees_look(cells: pd.DataFrame, size: Size, name: str, recipe: str) -> Look:
    trials = cross_validate(cells, size)
    place = int(trials.index[trials["degrees"] == DEGREES][0])
    within = bool(trials["within_one_se"][place])
    verdict: Verdict = "reproduced" if place == 0 else "partial" if within else "contradicted"
    return Look("runs" if recipe else "law", name, verdict, place + 1.0, recipe=recipe)


def _logs_look(cells: pd.DataFrame, name: str, recipe: str) -> Look:
    scaled = cells["N"] / cells["N"].max()
    plain = cells.assign(N=np.exp(scaled), S=-np.expm1(-cells["S"]))  # whose logarithms are N and S themselves
    found = [cross_validate(table, "N", largest=2) for table in (cells, plain)]
    errors = [one[one["degrees"] == DEGREES].iloc[0] for one in found]
    gap, half = errors[1]["mse"] - errors[0]["mse"], errors[0]["se"] + errors[1]["se"]
    verdict = sign_verdict(gap, gap - half, gap + half, 1)
    ratio = float((errors[0]["mse"] / errors[1]["mse"]) ** 0.5)
    return Look("runs" if recipe else "law", name, verdict, ratio, recipe=recipe)


def _mse(cells: pd.DataFrame, size: Size) -> float:
    trials = cross_validate(cells, size, largest=2)
    return float(trials.loc[trials["degrees"] == DEGREES, "mse"].iloc[0])


def _r_look(cells: pd.DataFrame, name: str, recipe: str) -> Look:
    r = float(random_refits(cells, DEGREES)["r"].median())
    return Look("runs" if recipe else "law", name, "reproduced" if r >= HIGH else "contradicted", r, recipe=recipe)


def _places(looks: list[Look]) -> str:
    return "our runs: " + ", ".join(
        f"{look.name}: place {look.value:.0f}" if look.value else look.note for look in looks
    )


def _values(looks: list[Look], unit: str) -> str:
    return "our runs: " + ", ".join(
        f"{look.name}: {number(look.value)}" if look.value is not None else look.note for look in looks
    )


def _notes(looks: list[Look]) -> str:
    return "; ".join(dict.fromkeys(look.note for look in looks if look.note and look.value is not None))
