"""Evidence as it is, and falsified: losses of our runs, coefficients of the law."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from moe_lib.claims import Evidence
from moe_lib.ledger import Row
from moe_lib.repository import OLD_GRID
from moe_lib.sweeps import SweepConfig

Losses = Callable[[list[Row]], list[float]]


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    """The book's."""
    return Evidence.of_the_book()


@pytest.fixture(scope="session")
def law_alone() -> Evidence:
    """The printed law, and no runs."""
    return Evidence()


def with_losses(evidence: Evidence, losses: Losses) -> Evidence:
    """The same runs with other losses: `losses` maps the rows of one shape and budget, by S, to their new losses."""
    groups: dict[object, list[Row]] = defaultdict(list)
    for row in evidence.every_row:
        model = row["config"]["model"]
        groups[model["d_model"], model["n_layers"], row["config"]["training"]["flops"]].append(row)
    new: dict[str, float] = {}
    for rows in groups.values():
        rows.sort(key=lambda row: (row["sparsity"], row["config"]["training"]["seed"]))
        new |= dict(zip((row["key"] for row in rows), losses(rows), strict=True))
    changed = {
        name: [row | {"loss": new[row["key"]]} if row["status"] == "done" else row for row in own]
        for name, own in evidence.rows.items()
    }
    return replace(evidence, rows=changed)


@pytest.fixture(scope="session")
def null(evidence: Evidence) -> Evidence:
    """Our runs and a law as if sparsity did nothing."""
    rng = np.random.default_rng(1)

    def flat(rows: list[Row]) -> list[float]:
        mean = np.mean([row["loss"] for row in rows])
        return [float(mean + 0.02 * rng.standard_normal()) for _ in rows]

    return replace(with_losses(evidence, flat), law=evidence.voice.blind.law)


@pytest.fixture(scope="session")
def mirrored(evidence: Evidence) -> Evidence:
    """Our runs with their gains over dense as losses."""

    def turned(rows: list[Row]) -> list[float]:
        dense = np.mean([row["loss"] for row in rows if row["sparsity"] == 0] or [rows[0]["loss"]])
        return [float(2 * dense - row["loss"]) for row in rows]

    return with_losses(evidence, turned)


@pytest.fixture(scope="session")
def planned(lawful_row: Callable[..., Row]) -> Evidence:
    """The runs that the grid asks for at two budgets, by two recipes, with losses of a law and the noise of seeds."""
    rng, rows = np.random.default_rng(2), {}
    sweep = SweepConfig.from_yaml(OLD_GRID)
    names = list(dict.fromkeys(block.name for block in sweep.blocks))
    for name in names:
        rows[name] = [
            lawful_row(
                run.with_(model=run.model.with_(embedding_multiplier=multiplier, qk_bias=multiplier != 1)),
                0.004 * float(rng.standard_normal()),
            )
            for multiplier in (1.0, 5.0)
            for run in sweep.runs(name)
            if run.training.flops in (1e13, 2e13)
        ]
    return Evidence(rows=rows, asked={name: len(own) for name, own in rows.items()})
