"""Claims about the experiments of the paper (Section 2, Appendix B, Table 1), beside what our runs did."""

from math import prod
from typing import Any

import numpy as np

from moe_lib import paper
from moe_lib.analysis.budgets import LEAST_SIZES
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude
from moe_lib.claims.law_voice import LOOKS
from moe_lib.claims.trend import part_verdict, sign_verdict
from moe_lib.claims.words import law_says, number, runs_say, sentence, span
from moe_lib.laws.optimum import Budget
from moe_lib.laws.published import BESIROGLU2024, HOFFMANN2022
from moe_lib.ledger import Row
from moe_lib.paper import BUDGETS, SPARSITIES, TABLE1

WITHIN = 2.0  # factor within which two optima count as equal
SWEPT = ("sparsity", "granularity", "learning_rate", "load_balance_weight", "warmup_fraction")  # of Table 1
OPTIMIZER = {"weight_decay": 1e-5, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "final_learning_rate_fraction": 0.0}


def sparsities(evidence: Evidence) -> Finding:
    """Are all sparsities of Table 1 trained at one budget, with enough sizes to place an optimum?"""
    looks, best = [], 0
    for runs in evidence.runs:
        if runs.table.empty:
            continue
        sizes = runs.table.groupby(["C", "S"])["shape"].nunique()
        have = max(sum(sizes.get((c, s), 0) >= LEAST_SIZES for s in SPARSITIES) for c in runs.table["C"].unique())
        best = max(best, have)
        looks.append(Look("runs", "design", part_verdict(have / len(SPARSITIES)), have, recipe=runs.recipe))
    grounds = f"{best} of {len(SPARSITIES)} sparsities have at least {LEAST_SIZES} sizes at one budget"
    return conclude(looks or [Look("runs", "design", UNTESTED)], sentence(grounds), "sparsities")


def scale(evidence: Evidence) -> Finding:
    """Are there as many budgets and models, and as much compute, as in the paper?"""
    needed = paper.MODELS / len(BUDGETS) * sum(BUDGETS)
    spent = sum(row["flops"] for row in evidence.every_row)
    budgets = max((len(runs.budgets) for runs in evidence.runs), default=0)
    enough = spent >= needed and budgets >= len(BUDGETS) and len(evidence.every_row) >= paper.MODELS
    grounds = (
        f"{paper.MODELS} models spread evenly over the paper's budgets are {number(needed)} FLOPs; ours spent "
        f"{number(spent)} on {len(evidence.every_row)} runs, with {budgets} of {len(BUDGETS)} budgets complete"
    )
    return conclude([Look("runs", "compute", "reproduced" if enough else UNTESTED, spent)], sentence(grounds), "FLOPs")


def text(evidence: Evidence) -> Finding:
    """Did any of our runs read the paper's text with its tokenizer and context?"""
    same = [row for row in evidence.every_row if _reads_as_the_paper(row)]
    contexts = {row["config"]["model"]["context_length"] for row in evidence.every_row}
    vocabularies = {row["config"]["model"]["vocab_size"] for row in evidence.every_row}
    grounds = f"{len(same)} of {len(evidence.every_row)} runs did"
    if evidence.every_row:
        grounds += f"; ours have vocabularies of {span(vocabularies)} and contexts of {span(contexts)} tokens"
    verdict = part_verdict(len(same) / len(evidence.every_row)) if same else UNTESTED
    return conclude([Look("runs", "text", verdict)], sentence(grounds))


def fresh_data(evidence: Evidence) -> Finding:
    """Do the compute-optimal models, and our runs, read no text twice?"""
    unit = "of the text"
    law = []
    for at in LOOKS:
        tokens = evidence.voice.optima(*at)["D"]
        share = float((tokens <= paper.CORPUS_TOKENS).mean())
        name = f"{number(at[0])} FLOPs, {at[1]}"
        law.append(Look("law", name, part_verdict(share), float(tokens.max() / paper.CORPUS_TOKENS)))
    epochs = [row["epochs"] for row in evidence.every_row if row.get("epochs") is not None]
    runs = [Look("runs", "epochs", part_verdict(float(np.mean(np.array(epochs) <= 1))), max(epochs))] if epochs else []
    least = max(BUDGETS) / (6 * paper.CORPUS_TOKENS)
    bound = f"at {number(max(BUDGETS))} FLOPs models of fewer than {number(least)} active parameters would need more"
    read = (
        f"our runs read at most {number(max(epochs))} of theirs" if epochs else "no run of ours says how much it read"
    )
    return conclude([*law, *runs], sentence(law_says(law, unit), bound, read), unit)


def dropless(evidence: Evidence) -> Finding:
    """Is every token routed? A run would have to record how many were not."""
    recorded = [row for row in evidence.every_row if (row.get("router") or {}).get("dropped") is not None]
    looks = [
        Look("runs", row["key"], "reproduced" if not np.any(row["router"]["dropped"]) else "contradicted")
        for row in recorded
    ]
    grounds = f"{len(recorded)} of {len(evidence.every_row)} runs record how many assignments were dropped"
    return conclude(looks or [Look("runs", "router", UNTESTED)], sentence(grounds))


def recipe(evidence: Evidence) -> Finding:
    """Do our runs use the paper's optimiser and its schedule?"""
    looks = []
    for runs in evidence.runs:
        fields = [row["config"]["training"] for row in runs.rows]
        same = [
            all(one.get(name) == value for name, value in OPTIMIZER.items())
            and one.get("muon_rate") is None
            and one["warmup_fraction"] in TABLE1["warmup_fraction"]
            for one in fields
        ]
        looks.append(
            Look("runs", "optimiser", part_verdict(float(np.mean(same))), float(np.mean(same)), recipe=runs.recipe)
        )
    return conclude(
        looks or [Look("runs", "optimiser", UNTESTED, note="no runs")], sentence(runs_say(looks, "of the runs")),
        "of the runs",
    )  # fmt: skip


def full_factorial(evidence: Evidence) -> Finding:
    """Can the number of models hold every combination of the swept hyperparameters at every budget, of one size?"""
    combinations = prod(len(TABLE1[name]) for name in SWEPT)
    runs = combinations * len(BUDGETS)
    share = paper.MODELS / runs
    verdict: Verdict = "reproduced" if share >= 1 else "partial"
    grounds = (
        f"{combinations} combinations at {len(BUDGETS)} budgets are {runs:,} runs of one size; with "
        f"{paper.MODELS} models at most {share:.0%} of them were trained, and the text does not say by which rule"
    )
    return conclude([Look("text", "Table 1", verdict, share)], sentence(grounds), "of the combinations")


def stabilisers(evidence: Evidence) -> Finding:
    """Do runs without the router's z-loss, or without QK-norm, end at a higher loss or diverge?"""
    looks = []
    for block, path, off in (("router z-loss", "training.router_z_weight", 0), ("QK-norm", "model.qk_norm", False)):
        looks += paired(evidence, block, path, off, sign=1)
    waiting = "" if evidence.done("router z-loss", "QK-norm") else evidence.waiting("router z-loss", "QK-norm")
    jitter = "no run of ours has router jitter"
    return conclude(looks, sentence(runs_say(looks, "nats"), waiting, jitter), "nats without it")


def paired(evidence: Evidence, block: str, path: str, off: Any, sign: int) -> list[Look]:
    """Looks at a control: the loss of its runs minus that of the same runs of the surfaces without the change, nats.

    A run that diverged counts as one nat above its partner.
    """
    section, name = path.split(".")
    looks = []
    for runs in evidence.runs:
        others = {_but(row, section, name): row for row in runs.rows if row["config"][section].get(name) != off}
        changed = [row for row in runs.blocks.get(block, []) if row["config"][section].get(name) == off]
        pairs = [
            (row, others[key])
            for row in changed
            if (key := _but(row, section, name)) in others and others[key]["status"] == "done"
        ]
        gaps = [row["loss"] - other["loss"] if row["status"] == "done" else 1.0 for row, other in pairs]
        if gaps and runs.noise_known():
            value, half = float(np.mean(gaps)), runs.half_width(len(gaps))
            verdict = sign_verdict(value, value - half, value + half, sign)
            looks.append(Look("runs", block, verdict, value, value - half, value + half, "", runs.recipe))
    return looks or [Look("runs", block, UNTESTED, note=f"{block}: no pair of runs")]


def compute_optimal(evidence: Evidence) -> Finding:
    """Is the law's dense optimum as far trained as that of other laws of dense models?"""
    looks, others = [], {}
    for flops in BUDGETS:
        budgets = {law.source: Budget(law, flops) for law in (HOFFMANN2022, BESIROGLU2024)}
        others[flops] = [_tokens_per_parameter(budget) for budget in budgets.values()]
        value = _tokens_per_parameter(Budget(evidence.law, flops))
        near = min(others[flops]) / WITHIN <= value <= max(others[flops]) * WITHIN
        looks.append(Look("law", f"{number(flops)} FLOPs", "reproduced" if near else "contradicted", value))
    compared = f"two laws of dense models ask for {span(x for own in others.values() for x in own)}"
    unit = "tokens per parameter at S = 0"
    return conclude(looks, sentence(law_says(looks, unit), compared), unit)


def _tokens_per_parameter(budget: Budget) -> float:
    size = budget.best_size(0.0)
    return float(budget.tokens(size, 0.0) / size)


def _reads_as_the_paper(row: Row) -> bool:
    model = row["config"]["model"]
    read = (model["vocab_size"], model["context_length"]) == (paper.VOCABULARY, paper.CONTEXT)
    return read and "redpajama" in str(row["config"]["corpus"]).lower()


def _but(row: Row, section: str, name: str) -> str:
    """A run's configuration without one field."""
    config = {part: dict(fields) if isinstance(fields, dict) else fields for part, fields in row["config"].items()}
    config[section].pop(name, None)
    return str(sorted((part, sorted(f.items()) if isinstance(f, dict) else f) for part, f in config.items()))
