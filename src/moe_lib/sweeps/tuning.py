"""From tuning runs to a rule: the best learning rate of each cell, a power law through them, and what it gives up.

A cell is what is tuned for: one model at one budget. Tables have a row a run, with the columns n_params_active (as
built), sparsity and flops, which name the cell, and batch_size, learning_rate and loss (nats a token).
"""

import json
from collections.abc import Hashable, Iterator
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from moe_lib.config import Config, Positive
from moe_lib.errors import InputError
from moe_lib.laws.isoflop import seed_noise

REFERENCE_SIZE, REFERENCE_FLOPS = 1e5, 1e13
CELL = ["n_params_active", "sparsity", "flops"]
Exponent = Annotated[float, Field(allow_inf_nan=False)]


class PeakRate(Config):
    """A rule for the peak learning rate: `at_reference` holds for N_a = 1e5, S = 0, C = 1e13 FLOPs.

    The rate is at_reference (N_a / 1e5)^size (1 - S)^density (C / 1e13)^budget, rounded to two digits. It is an
    interpolation: valid where tuning runs were made.
    """

    at_reference: Positive
    size: Exponent = 0.0
    density: Exponent = 0.0
    budget: Exponent = 0.0

    def __call__(self, n_params_active: float, sparsity: float, flops: float) -> float:
        """The peak rate of one run."""
        rate = (
            self.at_reference
            * (n_params_active / REFERENCE_SIZE) ** self.size
            * (1 - sparsity) ** self.density
            * (flops / REFERENCE_FLOPS) ** self.budget
        )
        return float(f"{rate:.2g}")


def tuning_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The ledger's rows as tuning runs, seeds averaged; a run that diverged has the loss NaN, and keeps its place."""
    table = pd.DataFrame(
        [
            {
                **{name: row["config"]["model"][name] for name in ("d_model", "n_layers")},
                **{name: row[name] for name in ("n_params_active", "sparsity")},
                **{name: row["config"]["training"][name] for name in ("flops", "batch_size", "learning_rate")},
                "loss": row.get("loss", np.nan),
            }
            for row in rows
        ]
    )
    return table.groupby([name for name in table if name != "loss"], sort=False, as_index=False).mean()


def best_rates(table: pd.DataFrame) -> pd.DataFrame:
    """For each cell and batch the learning rate with the lowest loss, by a parabola through the lowest run and its
    neighbours in log rate.

    Columns: those of a run, `learning_rate` and `loss` at the vertex, `lowest` (the lowest loss seen), and `bracketed`,
    False where the lowest run lies at the end of the rates tried: then it is given as it is.
    """
    return pd.DataFrame([_vertex(runs) for _, runs in table.groupby([*CELL, "batch_size"], sort=False)])


def _vertex(runs: pd.DataFrame) -> dict[Hashable, Any]:
    runs = runs.sort_values("learning_rate", ignore_index=True)
    at = int(np.nanargmin(runs["loss"]))
    best: dict[Hashable, Any] = {name: runs[name].iloc[at] for name in runs}
    best |= {"lowest": best["loss"], "bracketed": False}
    three = runs.loc[at - 1 : at + 1]
    if len(three) == 3 and three["loss"].notna().all():
        curve = np.polynomial.Polynomial.fit(np.log(three["learning_rate"]), three["loss"], 2)
        vertex = float(curve.deriv().roots()[0].real)
        best |= {"learning_rate": np.exp(vertex), "loss": float(curve(vertex)), "bracketed": True}
    return best


def fit_rule(best: pd.DataFrame, with_budget: bool = False) -> PeakRate:
    """The power law nearest to the best rates, in least squares of their logarithms.

    Raises `InputError` where the rates do not tell its exponents apart.
    """
    features = [
        np.ones(len(best)),
        np.log(best["n_params_active"] / REFERENCE_SIZE),
        np.log1p(-best["sparsity"]),
        *([np.log(best["flops"] / REFERENCE_FLOPS)] if with_budget else []),
    ]
    solution, _, rank, _ = np.linalg.lstsq(np.column_stack(features), np.log(best["learning_rate"]), rcond=None)
    if rank < len(features):
        raise InputError(f"the {len(best)} cells differ in too little to fit {len(features)} coefficients of a rule")
    at, *exponents = (round(float(value), 4) for value in solution)
    names = ("size", "density", "budget")
    return PeakRate(at_reference=float(f"{np.exp(at):.3g}"), **dict(zip(names, exponents, strict=False)))


def regret(table: pd.DataFrame, rule: PeakRate, batch_size: int) -> pd.DataFrame:
    """What each cell gives up by rule and batch: loss at the rule's rate minus the lowest of all its runs, in nats.

    The loss at the rule's rate is interpolated in log rate between runs of that batch (piecewise quadratic); `inside`
    is False where it lies beyond the rates tried, and the loss is then that of the nearest.
    """
    return pd.DataFrame(_regrets(table, rule, batch_size))


def _regrets(table: pd.DataFrame, rule: PeakRate, batch_size: int) -> Iterator[dict[str, Any]]:
    for _, runs in table.groupby(CELL, sort=False):
        cell = runs.iloc[0][CELL]
        own = runs[(runs["batch_size"] == batch_size) & runs["loss"].notna()].sort_values("learning_rate")
        if len(own) < 3:
            continue
        rate = rule(*cell)
        log_rates, losses = np.log(own["learning_rate"].to_numpy()), own["loss"].to_numpy()
        at = np.clip(np.log(rate), log_rates[0], log_rates[-1])
        near = np.sort(np.argsort(np.abs(log_rates - at))[:3])
        curve = np.polynomial.Polynomial.fit(log_rates[near], losses[near], 2)
        yield {
            **cell,
            "learning_rate": rate,
            "regret": max(0.0, float(curve(at)) - float(runs["loss"].min())),
            "inside": bool(log_rates[0] <= np.log(rate) <= log_rates[-1]),
        }


def one_change(rows: list[dict[str, Any]], base: dict[str, Any]) -> pd.DataFrame:
    """Runs that differ from a base in one field and, it may be, the seed: what the field changes in the loss.

    `base` has the fields that are compared, by path (`training.router_rate`). Columns sparsity, change (empty for the
    base itself), n (seeds), loss (their mean) and difference to the base of the same sparsity, in nats.
    """
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "change": change(row["config"], base), "loss": row.get("loss")} for row in rows]
    ).dropna(subset="change")
    means = table.groupby(["sparsity", "change"], sort=False)["loss"].agg(["size", "mean"]).reset_index()
    means = means.rename(columns={"size": "n", "mean": "loss"})
    start = means[means["change"] == ""].set_index("sparsity")["loss"]
    return means.assign(difference=means["loss"] - means["sparsity"].map(start))


def change(config: dict[str, Any], base: dict[str, Any]) -> str | None:
    """The field in which a run's configuration differs from the base; empty where none does, None where several do."""
    fields = ((path, config[path.split(".")[0]].get(path.split(".")[1])) for path in base)
    changed = [f"{path.split('.')[1]} = {value:g}" for path, value in fields if value not in (None, base[path])]
    return None if len(changed) > 1 else "".join(changed)


def seed_spread(rows: list[dict[str, Any]]) -> "pd.Series[float]":
    """Standard deviation of the loss between runs that differ only in their seed, pooled, by sparsity; nats."""
    table = pd.DataFrame(
        [{"sparsity": row["sparsity"], "loss": row.get("loss"), "run": _unseeded(row)} for row in rows]
    )
    repeated = table.dropna(subset="loss").groupby("sparsity").filter(lambda own: own["run"].duplicated().any())
    return pd.Series({s: seed_noise(own, ["run"], "loss") for s, own in repeated.groupby("sparsity")})


def _unseeded(row: dict[str, Any]) -> str:
    config = row["config"]
    return json.dumps(config | {"training": config["training"] | {"seed": None}}, sort_keys=True)
