"""Claims of the discussion, of related work and of the conclusion (Sections 6 to 8)."""

from collections.abc import Callable

import numpy as np

from moe_lib.budget import BYTES_PER_WEIGHT
from moe_lib.claims.directions import along_sparsity
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import UNTESTED, Finding, Look, Verdict, conclude
from moe_lib.claims.trend import sign_verdict
from moe_lib.claims.words import number, runs_say, sentence
from moe_lib.laws.parabola import vertex_of
from moe_lib.laws.published import PUBLISHED
from moe_lib.ledger import Row
from moe_lib.paper import BUDGETS, SPARSITIES, TABLE1

MARGIN = 0.05  # nats within which two designs of one sparsity are alike
EARLIER = ("clark2022", "krajewski2024")  # laws of mixtures of experts that the paper cites


def experts_cancel(evidence: Evidence) -> Finding:
    """Is the loss the same whatever E, K and G, at one S, shape and budget?"""

    def judged(value: float, half: float) -> Verdict:
        if abs(value) + half <= MARGIN:
            return "reproduced"
        return "contradicted" if abs(value) - half > 0 and abs(value) > MARGIN else UNTESTED

    looks = _beside_surface(evidence, ("granularity", "active experts"), judged)
    also = "Liew et al. (2026), 2601.08215, report that the number of experts and top-k do not cancel into S"
    return conclude(looks, sentence(_waits(evidence, looks, "granularity", "active experts"), also), "nats")


def finer_experts(evidence: Evidence) -> Finding:
    """Do more and smaller experts lower the loss at one S, shape and budget?"""
    looks = _beside_surface(
        evidence, ("granularity",), lambda value, half: sign_verdict(value, value - half, value + half, -1)
    )
    tried = ", ".join(f"{g:g}" for g in TABLE1["granularity"])
    grounds = f"the paper trained G = {tried} only and shows no comparison of them"
    return conclude(looks, sentence(grounds, _waits(evidence, looks, "granularity")), "nats from finer experts")


def memory(evidence: Evidence) -> Finding:
    """Does the memory of the best model rise with sparsity, a cost that FLOPs do not show?"""
    found = along_sparsity(evidence, "N", 1)
    sizes = [evidence.voice.optima(BUDGETS[2], "one-embedding")["N"].iloc[i] for i in (0, -1)]
    gigabytes = [number(n * BYTES_PER_WEIGHT / 1e9) for n in sizes]
    grounds = (
        f"training the law's best model at 1e20 FLOPs takes {gigabytes[0]} GB dense and {gigabytes[1]} GB at S = "
        f"{SPARSITIES[-1]:g}; {found.grounds}"
    )
    return conclude(found.looks, grounds, found.unit)


def shared_layers(evidence: Evidence) -> Finding:
    """Does the fall of the loss with sparsity continue below zero, so that sharing layers is worse than dense?"""
    looks = []
    for runs in evidence.runs:
        rows = [row for row in runs.blocks.get("shared layers", []) if row["status"] == "done"]
        flops = {row["config"]["training"]["flops"] for row in rows}
        dense = [row for row in runs.rows if row["sparsity"] == 0 and row["config"]["training"]["flops"] in flops]
        for repeats in sorted({row["config"]["model"]["layer_repeats"] for row in rows}):
            own = [row for row in rows if row["config"]["model"]["layer_repeats"] == repeats]
            if min(len({r["n_params"] for r in one}) for one in (own, dense)) >= 3 and runs.noise_known():
                value = _lowest(own) - _lowest(dense)
                half = runs.half_width()
                verdict = sign_verdict(value, value - half, value + half, 1)
                name = f"{repeats} passes"
                looks.append(Look("runs", name, verdict, value, value - half, value + half, "", runs.recipe))
    looks = looks or [Look("runs", "shared layers", UNTESTED)]
    return conclude(looks, sentence(_waits(evidence, looks, "shared layers")), "nats above dense")


def earlier_laws(evidence: Evidence) -> Finding:
    """Do earlier laws of mixtures of experts leave the number of active experts out?"""
    looks = []
    for name in EARLIER:
        free = set(PUBLISHED[name].form.inputs) & {"E", "K", "S", "Na"}  # two of them would leave E and K free
        looks.append(Look("text", name, "contradicted" if len(free) > 1 else "reproduced"))
    grounds = "; ".join(f"{look.name} takes {', '.join(PUBLISHED[look.name].form.inputs)}" for look in looks)
    return conclude(looks, sentence(grounds))


def _beside_surface(
    evidence: Evidence, blocks: tuple[str, ...], judged: Callable[[float, float], Verdict]
) -> list[Look]:
    """Looks at controls: the loss of their runs minus that of the runs of one expert of base width, nats."""
    looks = []
    for runs in evidence.runs:
        base = {_design(row): row["loss"] for row in runs.rows if row["status"] == "done" and _plain(row)}
        for block in blocks:
            rows = [row for row in runs.blocks.get(block, []) if row["status"] == "done" and _design(row) in base]
            if rows and runs.noise_known():
                value = float(np.mean([row["loss"] - base[_design(row)] for row in rows]))
                half = runs.half_width(len(rows))
                verdict = judged(value, half)
                looks.append(Look("runs", block, verdict, value, value - half, value + half, "", runs.recipe))
    return looks or [Look("runs", blocks[0], UNTESTED)]


def _plain(row: Row) -> bool:
    model = row["config"]["model"]
    return (model["granularity"], model["n_experts_active"]) == (1, 1)


def _design(row: Row) -> tuple[object, ...]:
    model, training = row["config"]["model"], row["config"]["training"]
    return model["d_model"], model["n_layers"], round(row["sparsity"], 6), training["flops"], training["seed"]


def _lowest(rows: list[Row]) -> float:
    """The loss at the vertex of a parabola through some runs."""
    return vertex_of(np.log([row["n_params_active"] for row in rows]), np.array([row["loss"] for row in rows])).loss


def _waits(evidence: Evidence, looks: list[Look], *blocks: str) -> str:
    tested = any(look.value is not None for look in looks)
    return runs_say(looks, "nats") if tested else evidence.waiting(*blocks)
