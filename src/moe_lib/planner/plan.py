"""A plan: the optimum of a law under a demand, its band, what each bound costs, and the model to build."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from moe_lib.accounting import Convention
from moe_lib.laws.implications import slopes
from moe_lib.laws.optimum import LARGEST
from moe_lib.laws.parametric import Law
from moe_lib.planner.built import Built, nearest
from moe_lib.planner.demand import Demand, Question
from moe_lib.planner.family import PAPER, Family
from moe_lib.planner.hardware import Hardware, all_to_all_bytes, memory_bytes

NEGLIGIBLE = 1e-6  # nats; a bound does not bind if relaxing it gains less
LEVEL = 0.95
SHAPE = (
    *("d_model", "n_layers", "n_heads", "n_experts", "n_experts_active", "granularity"),
    *("vocab_size", "context_length", "tied_embeddings"),
)


@dataclass(frozen=True)
class Bound:
    """One bound of a demand: whether it binds, and the nats gained by relaxing it by a tenth."""

    name: str
    value: float
    binds: bool
    worth: float


@dataclass(frozen=True)
class Plan:
    """What a law recommends under a demand; counts as floats, loss in nats per token.

    `band` has the ranges of S and of N within 0.01 nats; `intervals` (if the law was resampled) the middle 95 % of
    optimal S, optimal N, and the loss of this plan over resampled laws. `at_edge` means that S is the sparsest allowed
    rather than an optimum; `outside` says how the plan leaves the law's data; `warnings` has further caveats. `built`
    is the best model that can be built near the optimum.
    """

    law: str
    source: str
    convention: Convention
    sparsity: float
    at_edge: bool
    n_params: float
    n_params_active: float
    n_tokens: float
    loss: float
    training_flops: float
    serving_flops: float
    band: dict[str, tuple[float, float]]
    intervals: dict[str, tuple[float, float]] | None
    bounds: tuple[Bound, ...]
    outside: tuple[str, ...]
    warnings: tuple[str, ...]
    built: Built
    memory_bytes: dict[str, float]
    all_to_all_bytes_per_token: dict[str, int]
    gpu_hours: float

    @property
    def contract(self) -> dict[str, Any]:
        """The output of `moe-lib plan --json` for a law."""
        found = asdict(self)
        built, shape = found.pop("built"), self.built.model
        del built["model"]
        return found | {"model": {"sparsity": shape.sparsity} | {name: getattr(shape, name) for name in SHAPE} | built}


def plan(
    name: str,
    law: Law,
    demand: Demand,
    family: Family = PAPER,
    convention: Convention | None = None,
    hardware: Hardware | None = None,
    resampled: Iterable[Law] = (),
) -> Plan:
    """The recommendation of the law called `name`; with `convention` None, N_a counts embeddings as the family does.

    `resampled` are refits of the law to resampled runs. `InputError` if the law has no optimum at a budget, or if no
    model of the family fits the demand.
    """
    convention = convention or family.convention
    demand = replace(demand, max_sparsity=demand.of(law).max_sparsity)
    question = demand.of(law, family, convention)
    n, s = question.solve()
    loss, active, tokens = (float(f(n, s)) for f in (question.loss, question.active, question.tokens))
    gained = worths(law, demand, family, convention)
    bounds = tuple(Bound(x, demand.bounds()[x], worth > NEGLIGIBLE, worth) for x, worth in gained.items())
    binding = {bound.name for bound in bounds if bound.binds}
    built = nearest(question, s, family)
    return Plan(
        law=name,
        source=law.source,
        convention=convention,
        sparsity=s,
        at_edge="max_sparsity" in binding,
        n_params=n,
        n_params_active=active,
        n_tokens=tokens,
        loss=loss,
        training_flops=6 * active * tokens,
        serving_flops=2 * active * demand.serving_tokens,
        band=question.band(n, s),
        intervals=_intervals(question, resampled, n, s),
        bounds=bounds,
        outside=outside(law, {"N": n, "Na": active, "D": tokens, "S": s, "C": 6 * active * tokens}),
        warnings=_warnings(question, n, s, binding),
        built=built,
        memory_bytes=memory_bytes(built.n_params),
        all_to_all_bytes_per_token=all_to_all_bytes(built.model),
        gpu_hours=(hardware or Hardware()).gpu_hours(built.training_flops),
    )


def worths(law: Law, demand: Demand, family: Family = PAPER, convention: Convention | None = None) -> dict[str, float]:
    """Nats per token that a law gains if one bound of a demand is relaxed by a tenth, by the bound's name."""
    convention = convention or family.convention
    demand = replace(demand, max_sparsity=demand.of(law).max_sparsity)
    question = demand.of(law, family, convention)
    loss = _best_loss(question)
    names = [x for x in demand.bounds() if x != "max_sparsity" or question.sparse]
    return {x: max(loss - _best_loss(demand.relaxed(x).of(law, family, convention)), 0.0) for x in names}


def outside(law: Law, values: dict[str, float]) -> tuple[str, ...]:
    """Sentences on the values of N, N_a, D, S and C that are outside the known range of a law's data."""
    found = []
    for name, value in values.items():
        least, most = (law.least or {}).get(name, 0.0), (law.limits or {}).get(name, np.inf)
        name = name.replace("Na", "N_a")
        if value > most * (1 + 1e-9):
            found.append(f"{name} = {value:.3g} is outside this law's data, which end at {most:.3g}")
        if value < least * (1 - 1e-9):
            found.append(f"{name} = {value:.3g} is outside this law's data, which begin at {least:.3g}")
    return tuple(found)


def _best_loss(question: Question) -> float:
    return float(question.loss(*question.solve()))


def _warnings(question: Question, n: float, s: float, binding: set[str]) -> tuple[str, ...]:
    found = []
    if "max_sparsity" in binding:
        edge = "this law's data" if s == (question.law.limits or {}).get("S") else "what was allowed"
        found.append(f"S = {s:.4g} is the edge of {edge}, not an optimum: the law's loss still falls with sparsity")
    if n >= LARGEST * (1 - 1e-9):
        found.append(f"N = {n:.4g} is the end of the search, not an optimum: the law's loss still falls with size")
    if "flops" not in binding:
        found.append("the other bounds leave a part of the budget unspent")
    if (
        question.law.form.inputs == ("N", "D", "S")
        and slopes(question.law, n, float(question.tokens(n, s)), s)["S"] < 0
    ):
        found.append("here the law says that taking active parameters away at the same N and D lowers the loss")
    return tuple(found)


def _intervals(
    question: Question, resampled: Iterable[Law], n: float, s: float
) -> dict[str, tuple[float, float]] | None:
    """Percentiles over resampled laws of each one's optimum, and of the loss of this plan under each."""
    rows = [
        (own[1], own[0], float(refit.loss(n, s)))
        for law in resampled
        for refit in [replace(question, law=law)]
        for own in [refit.solve()]
    ]
    if not rows:
        return None
    low, high = np.quantile(rows, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).tolist()
    return dict(zip(("sparsity", "n_params", "loss"), zip(low, high, strict=True), strict=True))
