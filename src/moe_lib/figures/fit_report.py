"""Figures of a fit to anybody's table: observed against predicted, residuals, profiles, the optimum with its cloud."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from moe_lib.errors import InputError
from moe_lib.figures.laws import law_surface, profiles
from moe_lib.figures.style import INK, MUTED, log_inverse_density, new_figure, sparsity_axis
from moe_lib.files import whole_file
from moe_lib.laws.optimum import Budget
from moe_lib.laws.parametric import Law
from moe_lib.laws.uncertainty import Resamples
from moe_lib.reading import read_bytes

MADE_BY = "moe-lib fit --plot"  # in the pictures' metadata, so that only our own are overwritten
CLOUD = 200  # refits whose optima are drawn


def write_figures(
    folder: Path,
    law: Law,
    resamples: Resamples | None,
    runs: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
    level: float = 0.95,
) -> list[Path]:
    """Write observed.png, residuals.png, profiles.png and, for a law in N, D and S, optimum.png; the paths written."""
    made = {"observed": observed(law, runs), "residuals": residuals(law, runs)}
    if curves:
        made["profiles"] = profiles(curves, level)
    if law.form.inputs == ("N", "D", "S"):
        made["optimum"] = optimum(law, resamples, runs)
    paths = {name: folder / f"{name}.png" for name in made}
    try:
        for path in filter(os.path.lexists, paths.values()):
            if MADE_BY.encode() not in read_bytes(path)[:1000]:
                raise InputError(
                    f"plot = {folder}: has a {path.name} that moe-lib did not write; choose another folder"
                )
        for name, figure in made.items():
            with whole_file(paths[name]) as temporary:
                figure.savefig(temporary, dpi=150, metadata={"Software": MADE_BY})
    except OSError as error:
        raise InputError(f"plot = {folder}: cannot be written ({error.strerror or error})") from None
    return list(paths.values())


def observed(law: Law, runs: pd.DataFrame) -> Figure:
    """Observed against predicted target; a perfect law puts every run on the line."""
    figure, axes = new_figure("half")
    ends = [runs[law.form.target].min(), runs[law.form.target].max()]
    axes.plot(ends, ends, color=MUTED, lw=0.9)
    axes.plot(_predicted(law, runs), runs[law.form.target], "o", color=INK, ms=3.5, mew=0)
    axes.set(xlabel=f"predicted {law.form.target}", ylabel=f"observed {law.form.target}")
    return figure


def residuals(law: Law, runs: pd.DataFrame) -> Figure:
    """Residuals of the log of the target, percent, against every input."""
    inputs = law.form.inputs
    figure, row = new_figure("full", height=2.9, columns=len(inputs), sharey=True, squeeze=False)
    off = 100 * np.log(_predicted(law, runs) / runs[law.form.target].to_numpy())
    for axes, name in zip(row[0], inputs, strict=True):
        axes.axhline(0, color=MUTED, lw=0.9)
        axes.plot(log_inverse_density(runs[name]) if name == "S" else runs[name], off, "o", color=INK, ms=3.5, mew=0)
        axes.set_xlabel(name)
        if name == "S":
            sparsity_axis(axes.xaxis, (0, 0.75, 0.95))
        else:
            axes.set_xscale("log")
    row[0, 0].set_ylabel("predicted - observed (%)")
    return figure


def optimum(law: Law, resamples: Resamples | None, runs: pd.DataFrame) -> Figure:
    """Contours of the loss at the runs' largest budget, its optimum up to their largest N, and those of refits."""
    flops = float((6 * (1 - runs["S"]) * runs["N"] * runs["D"]).max())
    smallest, largest = float(runs["N"].min()), float(runs["N"].max())
    cloud = None
    if resamples is not None:
        refits = [Budget(one, flops).best(largest) for one in resamples.laws[:CLOUD]]
        cloud = pd.DataFrame(refits, columns=["N", "S"])
    budget = Budget(law, flops)
    data, best = (largest, float(runs["S"].max())), budget.best(largest)
    figure = law_surface(budget, (smallest / 2, largest * 2), cloud, data, best)
    figure.axes[0].set_title(f"C = {flops:.3g} FLOPs", fontsize=10)
    return figure


def _predicted(law: Law, runs: pd.DataFrame) -> np.ndarray:
    return np.asarray(law.loss(**{name: runs[name].to_numpy() for name in law.form.inputs}))
