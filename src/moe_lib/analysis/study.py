"""Grids side by side: what the runs of each recipe are, and how closely a surface can be read from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from moe_lib.analysis.budgets import complete_budgets
from moe_lib.analysis.noise import noise_by_size, noise_of, repeated_cells
from moe_lib.analysis.prose import on_prose
from moe_lib.analysis.runs import isoflop_runs, surface_rows
from moe_lib.laws.isoflop import Size, choose_degrees, cross_validate
from moe_lib.laws.parabola import parabola_scatter
from moe_lib.ledger import Ledger, Row
from moe_lib.paper import DEGREES
from moe_lib.repository import GRIDS

SIZES: tuple[Size, Size] = ("N", "Na")


@dataclass(frozen=True)
class Study:
    """The runs of one recipe that make up its isoFLOP surfaces."""

    recipe: str
    sweep: Path
    rows: list[Row]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """All runs, as `isoflop_runs`."""
        return isoflop_runs(self.rows)

    @cached_property
    def noise(self) -> pd.DataFrame | None:
        """`noise_by_size` of all budgets; None if no cell has several seeds yet."""
        return None if repeated_cells(self.runs).empty else noise_by_size(self.runs)

    @cached_property
    def cells(self) -> dict[float, pd.DataFrame]:
        """The cells of each complete budget, with the `noise` of one run.

        Without repeated seeds, it is the scatter about parabolas, which includes their misfit.
        """
        return self._with_noise(self.runs)

    @cached_property
    def on_prose(self) -> dict[float, pd.DataFrame]:
        """`cells` by the loss on running prose alone; the noise is that of the whole text."""
        rows = on_prose(self.rows)
        return self._with_noise(isoflop_runs(rows)) if rows else {}

    def _with_noise(self, runs: pd.DataFrame) -> dict[float, pd.DataFrame]:
        cells = complete_budgets(runs)
        noise = self.noise
        return {
            flops: own.assign(noise=parabola_scatter(own, "Na") if noise is None else noise_of(own, noise))
            for flops, own in cells.items()
        }


def studies(ledger: Ledger, grids: Mapping[str, Path] = GRIDS) -> list[Study]:
    """A study for each recipe that has any finished run, in the order of the grids."""
    found = [Study(recipe, sweep, surface_rows(ledger, sweep)) for recipe, sweep in grids.items()]
    return [study for study in found if any(row["status"] == "done" for row in study.rows)]


def surface_quality(study: Study) -> pd.DataFrame:
    """How well Eq. 8 predicts a cell that it has not seen, a row per complete budget and size (N or Na).

    Columns recipe, C, size, cells, degrees (chosen), rmse (of these, each cell left out once, nats), paper (the
    rmse of the paper's degrees), place (their rank of all), within (whether they are within one standard error of the
    best), and noise (what seeds alone would give, nats).
    """
    rows = []
    for flops, cells in study.cells.items():
        for size in SIZES:
            trials = cross_validate(cells, size, folds=len(cells))
            degrees = choose_degrees(cells, size)
            found = trials.set_index("degrees")
            rows.append(
                {
                    "recipe": study.recipe, "C": flops, "size": size, "cells": len(cells), "degrees": degrees,
                    "rmse": found["mse"][degrees] ** 0.5, "paper": found["mse"][DEGREES] ** 0.5,
                    "place": list(found.index).index(DEGREES) + 1, "within": found["within_one_se"][DEGREES],
                    "noise": float(np.sqrt((cells["noise"] ** 2 / cells["n"]).mean())),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
