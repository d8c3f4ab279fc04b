"""Claims about the parametric law (Section 5, Appendix E, Figure 6, Tables 2 and 3)."""

from itertools import product
from math import ceil

import numpy as np
import pandas as pd

from moe_lib.claims.counting import shapes
from moe_lib.claims.directions import few_budgets
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude
from moe_lib.claims.our_runs import Runs
from moe_lib.claims.trend import part_verdict
from moe_lib.claims.words import number, runs_say, sentence, span
from moe_lib.laws.implications import (
    best_loss,
    fewest_points,
    held_out_errors_expected,
    runs_of_law,
    size_where_inactivity_helps,
    slopes,
)
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parametric import CHINCHILLA, CHINCHILLA_ACTIVE, FRANTAR, KAPLAN, SPARSITY, SPARSITY_NO_C, Law
from moe_lib.laws.published import BESIROGLU2024, FRANTAR2024, HOFFMANN2022
from moe_lib.laws.solver import fit
from moe_lib.laws.validation import compare
from moe_lib.paper import BUDGETS, ERRORS, HUBER_DELTA, MODELS, SIZES, SPARSITIES, TABLE2, TABLE2_STARTS

ALIKE = 0.01  # relative difference of two exponents, or of a refitted coefficient, that counts as none
CLOSE = 0.1
FACTOR, NATS = 3.0, 0.3  # between laws of dense models: factor of the best size, and difference of its loss
REFIT = 1e-3  # error of log loss below which one form represents another
TIMES = 10  # repetitions of the parametric bootstrap


def dense_form(evidence: Evidence) -> Finding:
    """Is Eq. 5 additive in N and D, and is the law that it is attributed to?"""
    looks = []
    kaplan = Law(KAPLAN, {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}, "Kaplan et al. (2020)")
    for name, law in (("approach 3 of Hoffmann et al.", HOFFMANN2022), ("Kaplan et al.", kaplan)):
        corners = {(n, d): float(law.loss(n, d)) for n in (1e9, 2e9) for d in (2e10, 4e10)}
        mixed = corners[2e9, 4e10] - corners[2e9, 2e10] - corners[1e9, 4e10] + corners[1e9, 2e10]
        looks.append(Look("text", name, "reproduced" if abs(mixed) < 1e-9 else "contradicted", abs(mixed)))
    parts = (f"{look.name}: {'' if look.verdict == 'reproduced' else 'not '}additive" for look in looks)
    return conclude(looks, sentence("the text names Kaplan et al. for Eq. 5", *parts), "nats of interaction")


def extra_terms(evidence: Evidence) -> Finding:
    """Do runs prefer Eq. 6 to its rivals, held out? It needs two budgets, which separate N from D."""
    unit, rivals = "held-out error over that of the best rival", (SPARSITY_NO_C, FRANTAR, CHINCHILLA_ACTIVE, CHINCHILLA)
    looks: list[Look] = list(few_budgets(evidence))
    for own in evidence.runs if not looks else []:
        errors = compare((SPARSITY, *rivals), _all_cells(own), folds=5).set_index("law")["cv_rmse"]
        ratio = float(errors["sparsity"] / errors.drop("sparsity").min())
        verdict: Verdict = "reproduced" if ratio < 1 - ALIKE else "partial" if ratio <= 1 + ALIKE else "contradicted"
        looks.append(Look("runs", "rivals", verdict, ratio, recipe=own.recipe))
    return conclude(looks, sentence(runs_say(looks, unit), "a fit of the form itself is not evidence for it"), unit)


def active_share(evidence: Evidence) -> Finding:
    """Is the last term one of N_a: is delta equal to gamma, and 1 - S the active share of real shapes?"""
    ratio = evidence.law.values["delta"] / evidence.law.values["gamma"]
    shares = shapes()["active"] / (1 - shapes()["S"])
    near = float(((shares - 1).abs() <= CLOSE).mean())
    looks = [
        Look("law", "exponents", "reproduced" if abs(ratio - 1) <= ALIKE else "contradicted", ratio),
        Look("text", "shapes", part_verdict(near), near),
    ]
    runs = [Look("runs", "exponents", _equal(law), law, recipe=own.recipe) for own, law in _exponents(evidence)]
    grounds = (
        f"delta is {ratio:.3f} times gamma",
        f"N_a / N is {span((shares.min(), shares.max()))} times 1 - S in the paper's family, within 10 % in {near:.0%}",
    )
    return conclude([*looks, *runs], sentence(*grounds), "times gamma")


def weight_sparsity(evidence: Evidence) -> Finding:
    """Can Eq. 6 represent the law of weight sparsity, which conditions on the parameters that are not zero?"""
    grid = [
        (n, d, s) for n in np.geomspace(1e7, 1e9, 5) for d in np.geomspace(1e9, 1e11, 5) for s in (0, 0.5, 0.75, 0.875)
    ]
    table = pd.DataFrame(grid, columns=["N", "D", "S"])
    left = (1 - table["S"]) * table["N"]
    losses = FRANTAR2024.loss(Na=left, D=table["D"], S=table["S"])
    found = fit(SPARSITY, table.assign(L=losses), "mse")
    error = float(np.sqrt(np.mean(found.residuals**2)))
    verdict: Verdict = "reproduced" if error < REFIT else "partial" if error < 10 * REFIT else "contradicted"
    grounds = (
        f"Eq. 6 fitted to the printed law of Frantar et al. leaves {number(error)} of log loss over {len(table)} points"
    )
    also = "that law depends on the parameters that are not zero, and has no term in 1 - S alone"
    return conclude([Look("law", "refit", verdict, error)], sentence(grounds, also), "of log loss")


def search(evidence: Evidence) -> Finding:
    """Does a search from a grid of starts under the Huber objective find the law that made noise-free runs?"""
    starts = 3**4 * int(np.prod([len(values) for values in TABLE2.values()]))
    table = runs_of_law(evidence.law, BUDGETS, SPARSITIES[:-1], np.geomspace(1e8, SIZES[1], 6))
    found = fit(SPARSITY, table, f"huber:{HUBER_DELTA:g}")
    worst = max(abs(found.coefficients[name] / value - 1) for name, value in evidence.law.values.items())
    right = worst < ALIKE and starts == TABLE2_STARTS
    grounds = f"Table 2 makes {starts:,} starts; from {len(table)} losses of the law the worst coefficient is off by "
    look = Look("law", "recovery", "reproduced" if right else "contradicted", worst)
    return conclude([look], sentence(grounds + number(worst)), "relative error of the worst coefficient")


def plausible(evidence: Evidence) -> Finding:
    """Is the law at S = 0 like other laws of dense models, in its best size and its loss?"""
    looks, factors, gaps = [], [], []
    for flops in BUDGETS:
        laws = [Budget(law, flops) for law in (evidence.law, HOFFMANN2022, BESIROGLU2024)]
        sizes = np.array([float(one.best_size(0.0)) for one in laws])
        losses = np.array([float(one.loss(n, 0.0)) for one, n in zip(laws, sizes, strict=True)])
        factors.append(float(np.exp(np.abs(np.log(sizes[1:] / sizes[0]))).max()))
        gaps.append(float(np.abs(losses[1:] - losses[0]).max()))
        near = (factors[-1] <= FACTOR, gaps[-1] <= NATS)
        looks.append(Look("law", f"{number(flops)} FLOPs", part_verdict(float(np.mean(near))), gaps[-1]))
    corners = product(SIZES, BUDGETS, SPARSITIES)
    box = [float(Budget(evidence.law, flops).loss(n, s)) for n, flops, s in corners]
    grounds = (
        f"sizes differ by up to a factor of {max(factors):.2g}",
        f"losses by up to {max(gaps):.2f} nats, on other texts",
        f"over the range of N, S and C that was trained the law goes from {min(box):.2f} to {max(box):.2f} nats",
    )
    return conclude(looks, sentence(*grounds), "nats from laws of dense models")


def printed_errors(evidence: Evidence) -> Finding:
    """Can the printed mean square error and Huber loss be of the same residuals, as means or as sums?"""
    looks, parts = [], []
    for name, printed in ERRORS.items():
        fewest = fewest_points(**printed)
        verdict: Verdict = "reproduced" if fewest <= 1 else "partial" if fewest <= MODELS else "inconsistent"
        looks.append(Look("text", name, verdict, fewest))
        parts.append(f"{name}: a sum over at least {ceil(fewest)} runs")
    grounds = f"at delta = {HUBER_DELTA:g} the Huber losses are too large for means"
    means = all(look.verdict == "reproduced" for look in looks)
    return conclude(looks, sentence("both can be means") if means else sentence(grounds, *parts), "runs at least")


def extrapolates(evidence: Evidence) -> Finding:
    """Is the error at the held-out sparsity smaller than the gain that it should confirm, and as large as expected?"""
    steps = f"from {SPARSITIES[-2]:g} to {SPARSITIES[-1]:g}"
    unit = f"times the gain {steps}"
    gains = [best_loss(evidence.law, c, SPARSITIES[-2]) - best_loss(evidence.law, c, SPARSITIES[-1]) for c in BUDGETS]
    rmse = ERRORS["held out"]["mse"] ** 0.5
    table = runs_of_law(evidence.law, BUDGETS, SPARSITIES, np.geomspace(1e8, SIZES[1], 6))
    noise = ERRORS["fitted"]["mse"] ** 0.5 / float(table["L"].mean())
    expected = held_out_errors_expected(evidence.law, table, noise, times=TIMES)["rmse"]
    looks = [
        Look("law", f"{number(c)} FLOPs", part_verdict(((rmse < gain) + (rmse <= expected.max())) / 2), rmse / gain)
        for c, gain in zip(BUDGETS, gains, strict=True)
    ]
    runs: list[Look] = list(few_budgets(evidence))
    for own in evidence.runs:
        if own.law is not None:
            runs.append(_held_out(own))
    grounds = (
        f"the held-out error is {rmse:.3f} nats, the gain {steps} by the law is {span(gains)}",
        f"noise like that of the fit would give {expected.mean():.3f} (at most {expected.max():.3f} in {TIMES} draws)",
    )
    return conclude([*looks, *runs], sentence(*grounds, runs_say(runs, unit)), unit)


def sign_of_lambda(evidence: Evidence) -> Finding:
    """Does the loss fall with sparsity at fixed N and D, as the sign of lambda alone suggests?"""
    unit = "of sizes and sparsities at which the loss falls with S at fixed N and D"
    negative = evidence.law.values["lambda"] < 0
    found = [_falls(evidence.law, evidence.voice.sizes)]
    looks = [Look("law", "fixed N and D", part_verdict(found[0]) if negative else "contradicted", found[0])]
    for own in evidence.runs:
        if own.law is not None:
            share = _falls(own.law, np.geomspace(own.table["N"].min(), own.table["N"].max(), 12))
            verdict = part_verdict(share) if own.law.values["lambda"] < 0 else "contradicted"
            looks.append(Look("runs", "fixed N and D", verdict, share, recipe=own.recipe))
    sizes = [size_where_inactivity_helps(evidence.law, s) for s in SPARSITIES]
    grounds = (
        f"lambda is {evidence.law.values['lambda']:g}",
        f"the loss falls with S only above {span(sizes)} parameters, at {found[0]:.0%} of the sizes and sparsities",
    )
    return conclude([*looks, *few_budgets(evidence)], sentence(*grounds), unit)


def points(evidence: Evidence) -> Finding:
    """Can the fitted points be one optimum per budget and sparsity, given the printed errors?"""
    optima = len(BUDGETS) * (len(SPARSITIES) - 1)
    needed = ceil(fewest_points(**ERRORS["fitted"]))
    verdict: Verdict = "reproduced" if optima >= needed else "inconsistent"
    grounds = (
        f"{len(BUDGETS)} budgets and {len(SPARSITIES) - 1} sparsities have {optima} optima, and the printed Huber loss "
        f"is a sum over at least {needed} runs, so the points are those of the isoFLOP sweeps"
    )
    if optima >= needed:
        grounds = f"{optima} optima suffice for the printed errors, which need {needed} runs"
    return conclude([Look("text", "points", verdict, needed / optima)], sentence(grounds), "runs needed per optimum")


def _exponents(evidence: Evidence) -> list[tuple[Runs, float]]:
    fitted = [(own, own.law) for own in evidence.runs]
    return [(own, law.values["delta"] / law.values["gamma"]) for own, law in fitted if law is not None]


def _equal(ratio: float) -> Verdict:
    return "reproduced" if abs(ratio - 1) <= ALIKE else "contradicted"


def _falls(law: Law, sizes: np.ndarray) -> float:
    """The share of sizes and of the paper's sparsities at which dL/dS < 0 at fixed N and D; D does not matter."""
    return float(np.mean([slopes(law, n, 2e10, s)["S"] < 0 for n in sizes.tolist() for s in SPARSITIES]))


def _all_cells(runs: Runs) -> pd.DataFrame:
    return pd.concat(list(runs.cells.values()), ignore_index=True)


def _held_out(runs: Runs) -> Look:
    """Eq. 6 fitted without the sparsest runs: its error there, over the gain that the cells show for the last step."""
    cells = _all_cells(runs)
    last, before = sorted(cells["S"].unique())[:-3:-1]
    law = fit(SPARSITY, cells[cells["S"] < last]).law
    out = cells[cells["S"] == last]
    rmse = float(np.sqrt(np.mean((law.loss(out["N"], out["D"], out["S"]) - out["L"]) ** 2)))
    best = cells.groupby(["C", "S"])["L"].min().unstack()
    gain = float((best[before] - best[last]).mean())
    verdict: Verdict = UNTESTED if gain <= 0 else "reproduced" if rmse < gain else "contradicted"
    return Look("runs", f"S = {last:g}", verdict, rmse / gain if gain > 0 else None, recipe=runs.recipe)
