"""What the planner's page computes from: laws, their resamples, families of shapes and constants, as a script.

The page (book/_assets/planner-law.js) has only general rules: sums of products of powers, and a search for a minimum.
All numbers are written here from the library. Counts of parameters and FLOPs are polynomials in a model's shape; their
coefficients are found from the library's own counts, which therefore exist once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from moe_lib.accounting import count_flops, count_parameters
from moe_lib.analysis.our_law import law_of_ours
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.files import whole_file
from moe_lib.laws.basis import Posynomial
from moe_lib.laws.optimum import INDIFFERENCE, LARGEST, MOST_FLOPS, SMALLEST, SPARSEST, has_optimum
from moe_lib.laws.parametric import Law
from moe_lib.laws.published import PUBLISHED
from moe_lib.laws.saturating import Saturating
from moe_lib.laws.shapes import active_params, width
from moe_lib.laws.uncertainty import bootstrap
from moe_lib.planner.built import ALIKE, FORWARD, GRANULARITIES, MOST_EXPERTS
from moe_lib.planner.demand import NO_TOKENS, RELAXED
from moe_lib.planner.family import FAMILIES, Family
from moe_lib.planner.hardware import Hardware, memory_bytes
from moe_lib.planner.plan import LEVEL, NEGLIGIBLE
from moe_lib.repository import LEDGER

RESAMPLES = 100
DIGITS = 10  # significant ones of resampled coefficients
NAME = "moePlannerData"  # the script's one global


def write_script(path: Path, resamples: int = RESAMPLES) -> None:
    """Write the page's data as a script, which a page can load from file:// too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = json.dumps(page_data(resamples), allow_nan=False, separators=(",", ":"))
    with whole_file(path) as temporary:
        temporary.write_text(f"globalThis.{NAME} = {words};\n", encoding="utf-8")


def page_data(resamples: int = RESAMPLES, ledger: Path = LEDGER) -> dict[str, Any]:
    """Everything that the page's answers depend on; `missing` says why there is no law of ours, if so."""
    laws = [law_data(name, law, "paper") for name, law in PUBLISHED.items() if has_optimum(law)]
    missing = {}
    try:
        law, fitted = law_of_ours(ledger)
        draws = bootstrap(fitted, resamples).laws if resamples else []
        law = replace(law, source=f"Eq. 6 fitted to {fitted.n} runs of this book")
        laws.append(law_data("ours", law, "ours", draws))
    except InputError as error:
        missing["ours"] = str(error)
    return {
        "laws": laws,
        "missing": missing,
        "families": {name: family_data(family) for name, family in FAMILIES.items()},
        "constants": {
            "smallest": SMALLEST,
            "largest": LARGEST,
            "mostFlops": MOST_FLOPS,
            "sparsest": -float(np.expm1(-SPARSEST)),
            "indifference": INDIFFERENCE,
            "noTokens": NO_TOKENS,
            "relaxed": RELAXED,
            "negligible": NEGLIGIBLE,
            "level": LEVEL,
            "alike": ALIKE,
            "mostExperts": MOST_EXPERTS,
            "bytes": memory_bytes(1),
            "flopsPerHour": 1 / Hardware().gpu_hours(1),
            "utilisation": Hardware().utilisation,
        },
    }


def law_data(name: str, law: Law, family: str, draws: Sequence[Law] = ()) -> dict[str, Any]:
    """A law as terms over a list `x` of coefficients and exponents; `draws` are such lists, one per resample.

    A term is `[index of its coefficient, [[index of an exponent, sign, inputs whose logarithms are multiplied]]]`.
    """
    form = law.form
    assert isinstance(form, Posynomial), name
    assert form.outer is None, name
    places = {exponent: len(form.coefficients) + at for at, exponent in enumerate(form.exponents)}
    terms = [
        [at, [[places[x], -1 if acts.startswith("-") else 1, acts.lstrip("-").split("*")] for x, acts in term.items()]]
        for at, term in enumerate(form.terms.values())
    ]
    return {
        "name": name,
        "source": law.source,
        "family": family,
        "inputs": form.inputs,
        "saturating": isinstance(form, Saturating),
        "terms": terms,
        "x": _values(law),
        "draws": [[float(f"{value:.{DIGITS}g}") for value in _values(one)] for one in draws],
        "least": dict(law.least or {}),
        "limits": dict(law.limits or {}),
    }


def family_data(family: Family) -> dict[str, Any]:
    """A family's shapes: N and N_a over d and E, and the counts of models as built, for each granularity."""
    spread = [(n, s) for n in (1e6, 1e9, 1e12) for s in (0.0, 0.5, 0.9, 0.98)]
    kind = family.convention, family.vocab_size, family.aspect
    shapes = [_continuous(float(width(n, s, *kind)), 1 / (1 - s)) for n, s in spread]
    return {
        "convention": family.convention,
        "dHead": family.d_head,
        "aspect": family.aspect,
        "context": family.context_length,
        "forward": FORWARD,
        "size": polynomial(shapes, [n for n, _ in spread]),
        "active": polynomial(shapes, [float(active_params(n, s, *kind)) for n, s in spread]),
        "built": {str(g): _built_counts(family, g) for g in GRANULARITIES},
    }


def _built_counts(family: Family, granularity: int) -> dict[str, list[float]]:
    models = [family.model(h, e * granularity, granularity) for h in (1, 2, 8, 32, 90) for e in (1, 2, 5, 64)]
    shapes = [_discrete(model) for model in models]
    counts: Mapping[str, Callable[[ModelConfig], float]] = {
        "params": lambda model: count_parameters(model).total,
        "active": lambda model: count_parameters(model).active_under(family.convention),
        "flops": lambda model: count_flops(model).total,
    }
    return {name: polynomial(shapes, list(map(count, models))) for name, count in counts.items()}


def polynomial(shapes: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """The coefficients with which sums over the columns of `shapes` are exactly `values`.

    `AssertionError` if there are none: then a count is no longer such a sum, and the page needs another one.
    """
    table, wanted = np.asarray(shapes, float), np.asarray(values, float)
    scaled = table / wanted[:, None]  # relative errors count
    norms = np.linalg.norm(scaled, axis=0)
    found = np.linalg.lstsq(scaled / norms, np.ones(len(wanted)), rcond=None)[0] / norms
    whole = np.round(found * 2**20) / 2**20  # coefficients are small fractions; the rest is rounding
    assert np.allclose(table @ whole, wanted, rtol=1e-9), "a count is not the sum that the planner's page assumes"
    return list(map(float, whole))


def _continuous(d: float, experts: float) -> list[float]:
    return [d**3, d**3 * experts, d**2 * experts, d]


def _discrete(model: ModelConfig) -> list[float]:
    d, layers, experts = model.d_model, model.n_layers, model.n_experts
    return [d, layers * d, layers * d**2, layers * d * experts, layers * d**2 * experts]


def _values(law: Law) -> list[float]:
    coefficients, exponents = law.form.internal(law.values)
    return [*map(float, coefficients), *map(float, exponents)]
