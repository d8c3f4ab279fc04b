"""What our runs of one recipe say: optima of surfaces and of parabolas with their draws, under every convention."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from moe_lib.accounting import count_parameters
from moe_lib.analysis.budgets import complete_budgets
from moe_lib.analysis.noise import seed_noise
from moe_lib.analysis.runs import SURFACES, isoflop_runs
from moe_lib.config import ModelConfig
from moe_lib.errors import InputError
from moe_lib.laws.basis import Array, feature
from moe_lib.laws.isoflop import Degrees, Surface, choose_degrees
from moe_lib.laws.parabola import parabola_scatter, vertex_of
from moe_lib.laws.parametric import SPARSITY, Law
from moe_lib.laws.resampled import ResampledSurface, resample_surface, without_effect
from moe_lib.laws.solver import fit
from moe_lib.ledger import Row
from moe_lib.paper import DEGREES

T = TypeVar("T")
DRAWS = 200  # resamples of cells behind every interval
NULL_DRAWS = 100  # of runs as if sparsity did nothing, of which only the mean direction is asked
N_SIZES = 6  # sizes at which the best sparsity is asked for
CELL = ["C", "S", "shape"]

# The size that a surface is fitted in, by quantity and convention; `ideal` and `one-embedding` share N as built.
COLUMNS = {
    "N": {"one-embedding": "N_one", "two-embeddings": "N_two"},
    "Na": {"one-embedding": "Na_one", "ideal": "Na_ideal", "two-embeddings": "Na_two"},
    "D": {"as trained": "D"},
    "L": {"one-embedding": "N_one", "ideal": "Na_ideal", "two-embeddings": "N_two"},
}

SIZE_COLUMNS = ("N_one", "N_two", "Na_one", "Na_two", "Na_ideal")


@dataclass(frozen=True)
class Optima:
    """Optima along sparsity, an entry per sparsity: log `size` and `loss` `[points]`, draws `[draws, points]`."""

    sparsity: Array
    size: Array
    loss: Array
    sizes: Array
    losses: Array
    inside: float  # share of the sparsities whose optimum is among the sizes trained

    @property
    def s(self) -> Array:
        """-log(1 - S)."""
        return np.asarray(feature("S", self.sparsity))


class Runs:
    """Runs of one recipe: those of the surfaces, and those of the other blocks of their sweep by name."""

    def __init__(self, recipe: str, blocks: Mapping[str, list[Row]]) -> None:
        self.recipe = recipe
        self.blocks = blocks
        surfaces = {row["key"]: row for name in SURFACES for row in blocks.get(name, [])}
        self.rows = list(surfaces.values())
        if len(texts := {row.get("corpus_digest") for row in self.rows}) > 1:
            raise InputError(f"runs of the recipe {recipe} read {len(texts)} texts, whose losses cannot be compared")
        self._made: dict[Any, Any] = {}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per run of the surfaces, as `isoflop_runs`, with N and N_a under every convention."""
        done = [row for row in self.rows if row["status"] == "done"]
        counts = [count_parameters(ModelConfig(**row["config"]["model"])) for row in done]
        sizes = {"N_one": 1, "N_two": 2}
        columns: dict[str, list[float]] = {
            name: [one.total_non_embedding + matrices * one.embedding_matrix for one in counts]
            for name, matrices in sizes.items()
        }
        columns["Na_one"] = [one.active_under("one-embedding") for one in counts]
        columns["Na_two"] = [one.active_under("two-embeddings") for one in counts]
        columns["Na_ideal"] = [one.active_under("ideal") for one in counts]
        return isoflop_runs(done).assign(**columns)

    @cached_property
    def cells(self) -> dict[float, pd.DataFrame]:
        """Means over the seeds of each cell, for every complete budget, and `n` seeds; see `complete_budgets`."""
        if self.table.empty:
            return {}
        complete = complete_budgets(self.table)
        means = {name: (name, "mean") for name in ("N", "Na", "D", "L", *SIZE_COLUMNS)}
        cells = self.table.groupby(CELL, as_index=False).agg(**means, n=("L", "size"))
        return {
            flops: cells[(cells["C"] == flops) & cells["S"].isin(own["S"])].reset_index(drop=True)
            for flops, own in sorted(complete.items())
        }

    @property
    def budgets(self) -> list[float]:
        """The complete budgets, smallest first."""
        return list(self.cells)

    @cached_property
    def noise(self) -> float:
        """Standard deviation between seeds, pooled over all cells of the surfaces; `InputError` without repeats."""
        return seed_noise(self.table, CELL)

    def noise_known(self) -> bool:
        """Whether any cell has two seeds."""
        try:
            return self.noise > 0
        except InputError:
            return False

    def half_width(self, n_pairs: int = 1) -> float:
        """Half the 95 % interval of the mean difference of pairs of runs, nats."""
        return float(1.96 * self.noise * (2 / n_pairs) ** 0.5)

    def degrees(self, flops: float, column: str) -> Degrees:
        """The degrees that cross-validation supports in N or N_a as built, as `choose_degrees`."""
        column = "N_one" if column.startswith("N_") else "Na_one"
        return self._once(("degrees", flops, column), lambda: choose_degrees(self._in(flops, column)))

    def surface(
        self, flops: float, column: str, degrees: Degrees | None = None, null: bool = False
    ) -> ResampledSurface:
        """Eq. 8 in one column of sizes, with refits to resampled cells; with `null` as if sparsity did nothing."""

        def made() -> ResampledSurface:
            cells, used = self._in(flops, column), degrees or self.degrees(flops, column)
            if null:
                return without_effect(cells, self.noise / np.sqrt(cells["n"]), used, draws=NULL_DRAWS)
            return resample_surface(cells, used, resamples=DRAWS)

        return self._once(("surface", flops, column, degrees, null), made)

    def optima(self, flops: float, column: str, degrees: Degrees | None = None, null: bool = False) -> Optima:
        """The best size at each sparsity by a surface."""

        def made() -> Optima:
            surface = self.surface(flops, column, degrees, null)
            sparsities = sorted(self.cells[flops]["S"].unique())
            drawn = [one.best_size(sparsities) for one in surface.refits]
            at = surface.fitted.best_size(sparsities)
            return Optima(
                np.array(sparsities),
                np.log(at["N"].to_numpy(float)),
                at["L"].to_numpy(float),
                np.log(np.stack([table["N"].to_numpy(float) for table in drawn])),
                np.stack([table["L"].to_numpy(float) for table in drawn]),
                float((at["place"] == "inside").mean()),
            )

        return self._once(("optima", flops, column, degrees, null), made)

    def parabolas(self, flops: float, column: str) -> Optima:
        """The best size at each sparsity by a parabola of its own (D.4); draws are losses about the parabolas."""

        def made() -> Optima:
            cells = self._in(flops, column)
            scatter, rng = parabola_scatter(cells), np.random.default_rng(0)
            found = []
            for _, own in cells.groupby("S"):
                n, y = np.log(own["N"].to_numpy(float)), own["L"].to_numpy(float)
                best = vertex_of(n, y)
                drawn = [vertex_of(n, best.fitted + scatter * rng.standard_normal(len(n))) for _ in range(DRAWS)]
                found.append((best, drawn))
            return Optima(
                np.array(sorted(cells["S"].unique())),
                np.array([best.at for best, _ in found]),
                np.array([best.loss for best, _ in found]),
                np.array([[one.at for one in drawn] for _, drawn in found]).T,
                np.array([[one.loss for one in drawn] for _, drawn in found]).T,
                float(np.mean([best.place == "inside" for best, _ in found])),
            )

        return self._once(("parabolas", flops, column), made)

    def sizes(self, flops: float, column: str = "N_one") -> Array:
        """Sizes among the runs at which the best sparsity is asked for: every sparsity has smaller and larger ones."""
        ends = self.cells[flops].groupby("S")[column].agg(["min", "max"])
        low, high = ends["min"].max(), ends["max"].min()
        if low >= high:  # sparse and dense models share no size: the middle half of all sizes, in log N
            low, high = np.exp(np.quantile(np.log(self.cells[flops][column]), (0.25, 0.75)))
        return np.geomspace(low, high, N_SIZES)

    def best_sparsity(
        self,
        flops: float,
        column: str = "N_one",
        degrees: Degrees | None = None,
        null: bool = False,
        sizes: tuple[float, ...] = (),
    ) -> tuple[Array, Array]:
        """-log(1-S*) at some sizes (default: `sizes`): the estimate `[points]` and its draws `[draws, points]`."""
        sizes = sizes or tuple(self.sizes(flops, column).tolist())

        def made() -> tuple[Array, Array]:
            surface = self.surface(flops, column, degrees, null)

            def best(one: Surface) -> Array:
                return np.asarray(feature("S", one.best_sparsity(sizes)["S"]))

            return best(surface.fitted), np.stack([best(one) for one in surface.refits])

        return self._once(("best sparsity", flops, column, degrees, null, sizes), made)

    @cached_property
    def law(self) -> Law | None:
        """Eq. 6 fitted to the cells of all complete budgets; None unless there are two, which separate N from D."""
        if len(self.budgets) < 2:
            return None
        return fit(SPARSITY, pd.concat(list(self.cells.values()), ignore_index=True)).law

    def _in(self, flops: float, column: str) -> pd.DataFrame:
        """The cells of a budget with one column as N, the size of a surface."""
        cells = self.cells[flops]
        return cells.assign(N=cells[column])

    def _once(self, key: Any, made: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = made()
        found: T = self._made[key]
        return found


ROUTES: tuple[tuple[str, Degrees | None], ...] = (("chosen degrees", None), ("the paper's degrees", DEGREES))


def by_recipe(blocks: Mapping[str, Iterable[Row]], recipe_of: Callable[[dict[str, Any]], str | None]) -> list[Runs]:
    """The runs of each recipe, in the order in which the recipes appear; runs of unnamed variants are left out."""
    found: dict[str, dict[str, list[Row]]] = {}
    for name, rows in blocks.items():
        for row in rows:
            if (recipe := recipe_of(row["config"])) is not None:
                found.setdefault(recipe, {}).setdefault(name, []).append(row)
    return [Runs(recipe, own) for recipe, own in found.items()]
