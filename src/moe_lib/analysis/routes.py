"""The statements of Section 2 at every complete budget of every recipe, by several routes to an answer."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from moe_lib.analysis.gain import share_monotone
from moe_lib.analysis.statements import judge
from moe_lib.analysis.study import SIZES, Study
from moe_lib.laws.isoflop import Degrees
from moe_lib.laws.resampled import ResampledSurface, among_runs, resample_surface, without_effect
from moe_lib.paper import DEGREES

CHOSEN, PAPERS = "degrees chosen by cross-validation", "the paper's degrees"
EVEN, PROSE = "without S = .25, whose experts are finer", "on running prose alone"
NOTHING = "if sparsity did nothing"
KEYS = ["recipe", "C", "statement"]
N_SIZES = 6  # at which the best sparsity is asked for
DRAWS = 200

Pair = tuple[ResampledSurface, ResampledSurface]  # in N and in N_a


def judge_by_routes(study: Study, draws: int = DRAWS) -> pd.DataFrame:
    """`judge` at each complete budget of a study by each route; columns recipe, C, route and those of `judge`.

    Degrees are chosen anew in each resample, unless they are the paper's. `NOTHING` fits the same runs with losses that
    depend on their shape alone, plus the seed noise of their size: what is `yes` there is not evidence about sparsity.
    """
    tables = []
    for flops, cells in study.cells.items():
        sparsities = sorted(cells["S"].unique())
        chosen = _resampled(cells, None, draws)
        pairs = {CHOSEN: chosen}
        if 0.25 in sparsities:
            pairs[EVEN] = _resampled(cells[cells["S"] != 0.25], None, draws)
        pairs[PAPERS] = _resampled(cells, DEGREES, draws)
        if flops in study.on_prose:
            pairs[PROSE] = _resampled(study.on_prose[flops], None, draws)
        noise = cells["noise"] / np.sqrt(cells["n"])
        total, active = (without_effect(cells, noise, None, size, draws) for size in SIZES)
        pairs[NOTHING] = total, active
        sizes = sizes_among(cells, chosen[0])
        for route, pair in pairs.items():
            table = judge(*pair, sparsities, sizes)
            tables.append(table.assign(recipe=study.recipe, C=flops, route=route))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*KEYS, "route", "shows"])


def falls_at_every_step(study: Study, draws: int = DRAWS) -> pd.DataFrame:
    """Share of resamples in which L* falls at every step of sparsity: a row per complete budget, size and degrees.

    Columns recipe, C, size, degrees, all, and but_last (without the step to the highest sparsity).
    """
    rows = []
    for flops, cells in study.cells.items():
        sparsities = sorted(cells["S"].unique())
        for name, degrees in ((CHOSEN, None), (PAPERS, DEGREES)):
            for surface in _resampled(cells, degrees, draws):
                optima = [one.best_size(sparsities) for one in surface.refits]
                rows.append({"recipe": study.recipe, "C": flops, "size": surface.fitted.size, "degrees": name,
                             "all": share_monotone(optima),
                             "but_last": share_monotone([own.iloc[:-1] for own in optima])})  # fmt: skip
    return pd.DataFrame(rows)


def holding(judged: pd.DataFrame) -> pd.DataFrame:
    """What `judge_by_routes` comes to: a row per recipe, budget and statement.

    Columns holds (`yes` by every route), trivial (`yes` too if sparsity did nothing) and evidence (holds, and is not
    trivial).
    """
    yes = judged.assign(yes=judged["shows"] == "yes")
    routes = yes[yes["route"] != NOTHING].groupby(KEYS, sort=False)["yes"].all()
    trivial = yes[yes["route"] == NOTHING].groupby(KEYS, sort=False)["yes"].all()
    table = pd.DataFrame({"holds": routes, "trivial": trivial.reindex(routes.index)}).reset_index()
    return table.assign(evidence=table["holds"] & ~table["trivial"].astype(bool))


def listed(statements: Collection[str]) -> str:
    """Statements as one phrase: `N* rises with S and L* falls with S`; `none of the statements` if empty."""
    *first, last = [text.replace("N_a", "Nₐ") for text in statements] or ["none of the statements"]
    return f"{', '.join(first)} and {last}" if first else last


def sizes_among(cells: pd.DataFrame, total: ResampledSurface) -> list[float]:
    """Sizes N at which the best sparsity of a surface has runs around it."""
    sizes = np.geomspace(cells["N"].min(), cells["N"].max(), N_SIZES)
    best = total.fitted.best_sparsity(sizes)
    return [float(size) for size in sizes[among_runs(cells, best["N"], best["S"])]]


def _resampled(cells: pd.DataFrame, degrees: Degrees | None, draws: int) -> Pair:
    total, active = (resample_surface(cells, degrees, size, draws) for size in SIZES)
    return total, active
