"""Claims about parameters and FLOPs (Section 2, Appendices A.2 and C), counted from shapes alone."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from moe_lib import paper
from moe_lib.accounting import CONVENTIONS, FLOPS_PER_WEIGHT, count_flops, count_parameters
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude
from moe_lib.claims.trend import part_verdict
from moe_lib.claims.words import number, sentence, span
from moe_lib.config import ModelConfig
from moe_lib.paper import SIZES, SPARSITIES

CLOSE = 0.1  # a ratio within this of one is called close to one
NEGLIGIBLE = 0.01  # of all FLOPs
SMALL = 0.01  # difference of two shares that counts as none


@cache
def shapes() -> pd.DataFrame:
    """The paper's family within its range of sizes: a row per model with its counts, under every convention."""
    rows: list[dict[Any, Any]] = []
    for sparsity in SPARSITIES:
        for layers in range(3, 97, 3):  # S = .25 is three of four thin experts: the width is a multiple of 3
            model = paper.model(layers, sparsity)
            counts, flops = count_parameters(model), count_flops(model)
            if SIZES[0] <= counts.total <= SIZES[1]:
                ratios = {one: flops.eq9 / (FLOPS_PER_WEIGHT * counts.active_under(one)) for one in CONVENTIONS}
                rows.append(
                    {"S": sparsity, "d": model.d_model, "E": model.n_experts, "N": counts.total,
                     "active": counts.active / counts.total, "router": flops.router / flops.total, **ratios}
                )  # fmt: skip
    return pd.DataFrame(rows)


def definition_of_sparsity(evidence: Evidence) -> Finding:
    """Is S the share of experts that a token does not use, and are only the MLPs sparse?"""
    looks = []
    for model in _models(evidence):
        counts, dense = count_parameters(model), count_parameters(_dense(model))
        by_experts = (model.n_experts - model.n_experts_active) / model.n_experts
        rest = counts.attention == dense.attention and counts.embeddings == dense.embeddings
        right = abs(model.sparsity - by_experts) < 1e-12 and rest and (model.sparsity == 0) == _all_active(model)
        looks.append(Look("text", str(model.sparsity), "reproduced" if right else "contradicted"))
    return conclude(looks, sentence(f"{len(looks)} models of the paper's family and of our runs were counted"))


def share_from_sparsity(evidence: Evidence) -> Finding:
    """Does S leave N_a / N open? Yes if models of one S have different shares."""
    shares = shapes().groupby("S")["active"].agg(["min", "max"])
    ratio = shares["max"] / shares["min"]
    looks = [
        Look("text", f"S = {s:g}", "reproduced" if one > 1 + CLOSE else "contradicted", float(one))
        for s, one in ratio.items()
        if s
    ]
    last = shares.iloc[-1].to_list()
    grounds = f"at S = {SPARSITIES[-1]:g} N_a / N is {span(last)} over the sizes studied, and 1 - S is "
    unit = "times between the largest and the smallest N_a / N at one S"
    return conclude(looks, sentence(grounds + number(1 - SPARSITIES[-1])), unit)


def two_definitions(evidence: Evidence) -> Finding:
    """Is the share of inactive parameters, the abstract's wording, the share of inactive experts, Eq. 7?"""
    table = shapes()
    gap = (1 - table["active"] - table["S"]).abs()
    share = float((gap[table["S"] > 0] <= SMALL).mean())
    worst = table.iloc[int(np.argmax(gap.to_numpy(float)))]
    grounds = (
        f"the two differ by up to {number(float(gap.max()))}, at N = {number(worst['N'])}, and by at most {SMALL:g} in "
        f"{share:.0%} of the sparse models; A.2 says which is meant"
    )
    verdict: Verdict = "inconsistent" if share == 0 else part_verdict(share)
    return conclude([Look("text", "sizes studied", verdict, share)], sentence(grounds), "of the sparse models")


def parameter_counts(evidence: Evidence) -> Finding:
    """Do N and N_a of every run count all weights, and the active experts with all that is always on?"""
    looks = []
    for row in evidence.every_row:
        counts = count_parameters(ModelConfig(**row["config"]["model"]))
        always_on = counts.total - counts.experts + counts.experts_active
        shared = counts.layer_repeats > 1
        right = row["n_params"] == counts.total and (shared or row["n_params_active"] == always_on)
        looks.append(Look("runs", row["key"], "reproduced" if right else "contradicted"))
    for model in _models(Evidence()):
        counts = count_parameters(model)
        right = counts.active == counts.total - counts.experts + counts.experts_active
        looks.append(Look("text", str(model.sparsity), "reproduced" if right else "contradicted"))
    return conclude(looks, sentence(f"{len(looks)} counts of models were compared with the definition"))


def expansion_factor(evidence: Evidence) -> Finding:
    """Does S of Eq. 7 depend on whether E is the expansion factor or the number of experts?"""
    looks = []
    for granularity in paper.TABLE1["granularity"]:
        expansion, active = 8, 2
        total = expansion * granularity
        gap = abs((total - active) / total - (expansion - active) / expansion)
        looks.append(Look("text", f"G = {granularity:g}", "inconsistent" if gap > SMALL else "reproduced", gap))
    worst = max(look.value or 0 for look in looks)
    verdict: Verdict = "inconsistent" if any(look.verdict == "inconsistent" for look in looks) else "reproduced"
    least = number(min(look.value or 0 for look in looks))
    grounds = (
        "A.2 has E G experts and Section 2 has E; with K = 2 and E = 8 the two readings of S differ by "
        f"{number(worst)} at the largest G of Table 1 and by {least} at the smallest"
    )
    return conclude([Look("text", "E", verdict, worst)], sentence(grounds), "difference in S")


def flops_formula(evidence: Evidence) -> Finding:
    """Do the formulas of Appendix C charge six FLOPs for every weight that is multiplied?"""
    looks, unnumbered = [], []
    for granularity, active in ((1, 1), (2, 2), (2, 1), (1, 4)):
        model = paper.model(12, 0).with_(n_experts=8, n_experts_active=active, granularity=granularity)
        d, context, layers, vocabulary = model.d_model, model.context_length, model.n_layers, model.vocab_size
        printed = (
            FLOPS_PER_WEIGHT
            * layers
            * d**2
            * (4 + 2 * context / d + 12 * active / granularity + vocabulary / (d * layers))
        )  # Eq. 9
        weights = count_parameters(model)
        multiplied = weights.attention + weights.experts_active + weights.embedding_matrix
        by_weights = FLOPS_PER_WEIGHT * (multiplied + 2 * layers * d * context)
        off = max(abs(printed / by_weights - 1), abs(count_flops(model).eq9 / by_weights - 1))
        looks.append(
            Look("text", f"G = {granularity}, K = {active}", "reproduced" if off < 1e-9 else "contradicted", off)
        )
        unnumbered.append((granularity * active * weights.experts_active) / (layers * 12 * d**2))
    wrong = [one for one in unnumbered if abs(one - 1) > CLOSE]
    grounds = (
        f"Eq. 9 and the list of parts agree with a count by weights in {len(looks)} shapes; the unnumbered total in "
        f"our copy of the text has E_active in a denominator, which would make {len(wrong)} of them too cheap by "
        f"factors of {span(wrong)}, which may be a slip of the transcription"
    )
    return conclude(looks, sentence(grounds), "relative deviation")


def router_share(evidence: Evidence) -> Finding:
    """Is the router a negligible part of the FLOPs wherever E / d_model is small?"""
    table = shapes()
    text = Look(
        "text", "paper", part_verdict(float((table["router"] < NEGLIGIBLE).mean())), float(table["router"].max())
    )
    ours = [(model.n_experts / model.d_model, count_flops(model)) for model in _models(evidence, family=False)]
    shares = [flops.router / flops.total for _, flops in ours]
    at = f"E / d_model is at most {number((table['E'] / table['d']).max())}"
    grounds = f"in the paper's family {at} and the router takes at most {number(table['router'].max())} of the FLOPs"
    also = ""
    if ours:
        also = (
            f"in our runs E / d_model reaches {number(max(one for one, _ in ours))} and the share {number(max(shares))}"
        )
    return conclude([text], sentence(grounds, also), "of the FLOPs at most")


def rule_of_thumb(evidence: Evidence) -> Finding:
    """Is Eq. 9 over 6 N_a close to one at all sparsities, under every convention of N_a?"""
    table, looks, parts = shapes(), [], []
    for convention in CONVENTIONS:
        near = float(((table[convention] - 1).abs() <= CLOSE).mean())
        ends = table[convention].min(), table[convention].max()
        looks.append(Look("text", convention, part_verdict(near), float(ends[1])))
        parts.append(f"{convention}: {span(ends)}, within {CLOSE:.0%} in {near:.0%} of the models")
    return conclude(looks, sentence(*parts), "largest ratio of Eq. 9 to 6 N_a")


def gap_shrinks(evidence: Evidence) -> Finding:
    """Does the gap between the two estimators shrink with N at every sparsity, under every convention?"""
    looks, parts = [], []
    for convention in CONVENTIONS:
        shrinks = []
        for _, own in shapes().sort_values("N").groupby("S"):
            gap = (own[convention] - 1).abs().to_numpy(float)
            shrinks.append(bool(np.all(np.diff(gap) < 0)))
        looks.append(Look("text", convention, part_verdict(float(np.mean(shrinks))), float(np.mean(shrinks))))
        parts.append(f"{convention}: at {sum(shrinks)} of {len(shrinks)} sparsities")
    return conclude(looks, sentence("it shrinks at every step", *parts), "of the sparsities")


def empirical_flops(evidence: Evidence) -> Finding:
    """Does the estimate match FLOPs that were measured while a model ran?"""
    measured = [row for row in evidence.every_row if row.get("measured_flops_per_token")]
    ratios = [row["flops_per_token"] / row["measured_flops_per_token"] for row in measured]
    looks = [
        Look("runs", row["key"], "reproduced" if abs(ratio - 1) <= CLOSE else "contradicted", ratio)
        for row, ratio in zip(measured, ratios, strict=True)
    ]
    grounds = f"{len(measured)} of {len(evidence.every_row)} runs record FLOPs that were measured; the paper asserts it"
    return conclude(looks or [Look("runs", "profile", UNTESTED)], sentence(grounds), "counted over measured FLOPs")


def _models(evidence: Evidence, family: bool = True) -> Iterator[ModelConfig]:
    """One model of the paper's family per sparsity, and every model of our runs once."""
    if family:
        yield from (paper.model(12, sparsity) for sparsity in SPARSITIES)
    seen = {str(row["config"]["model"]): row["config"]["model"] for row in evidence.every_row}
    yield from (ModelConfig(**fields) for fields in seen.values() if fields.get("layer_repeats", 1) == 1)


def _dense(model: ModelConfig) -> ModelConfig:
    return model.with_(n_experts=1, n_experts_active=1, granularity=1)


def _all_active(model: ModelConfig) -> bool:
    return model.n_experts == model.n_experts_active
