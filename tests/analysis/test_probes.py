"""Probes: a probe counts if it follows the loss, choices count above chance, and power is that of simulated tests."""

from collections.abc import Callable

import numpy as np
import pytest

from moe_lib.analysis import probes
from moe_lib.config import RunConfig
from moe_lib.ledger import Row

SPARSITIES = (0.0, 0.5, 0.9)


def asked(loss: float, accuracy: float = 0.9) -> dict[str, object]:
    group = {"nll": 2 * loss, "accuracy": accuracy, "chance": 0.25, "n": 100}
    return {
        "open_book": {"town": group, "trade": group},
        "last_word": {"all": {"nll": 3 * loss + 1, "n": 150}},
        "minimal_pairs": {"agreement": {"margin": 1.0, "n": 40}},
    }


@pytest.fixture(scope="module")
def rows(make_row: Callable[..., Row]) -> list[Row]:
    """Runs of eight widths and three sparsities whose last words cost three times the loss plus a nat."""
    rng, found = np.random.default_rng(0), []
    for width in range(16, 80, 8):
        for sparsity in SPARSITIES:
            model = {"d_model": width, "n_layers": 1, "n_heads": 2, "sparsity": sparsity}
            loss = 4 - width / 50 - 0.1 * sparsity + rng.normal(0, 0.02)
            run = RunConfig(model=model, training={"flops": 1e9})
            found.append(
                make_row(
                    run,
                    loss=loss,
                    sparsity=sparsity,
                    n_params=100 * width,
                    n_params_active=width**2,
                    probes=asked(loss),
                )
            )
    return found


@pytest.fixture(scope="module")
def make_row() -> Callable[..., Row]:
    def made(run: RunConfig, **fields: object) -> Row:
        counts = {"n_tokens": 10_000, "flops": 1e9, "status": "done"}
        return {"key": run.key, "config": run.model_dump(), **counts, **fields}

    return made


def with_last_word(rows: list[Row], change: Callable[[Row], float]) -> list[Row]:
    return [row | {"probes": row["probes"] | {"last_word": {"all": {"nll": change(row), "n": 150}}}} for row in rows]


def test_the_table_has_a_row_per_run_and_a_gap_for_what_is_not_recorded(rows: list[Row]) -> None:
    table = probes.probe_table([*rows, rows[0] | {"probes": {}}, rows[0] | {"status": "diverged"}])
    assert len(table) == len(rows)
    assert table["configuration"].nunique() == len(rows)
    assert table["last word"].to_list() == pytest.approx([3 * row["loss"] + 1 for row in rows])
    assert table["two hops"].isna().all()


def test_a_probe_that_the_loss_decides_has_an_equivalent_effect(rows: list[Row]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, len(rows))
    nll = {row["key"]: 3 * row["loss"] + extra for row, extra in zip(rows, noise, strict=True)}
    found = probes.effect_of_sparsity(with_last_word(rows, lambda row: nll[row["key"]]), "last word")
    assert not isinstance(found, str)
    assert found["equivalent"]
    assert abs(found["effect"]) < probes.MARGIN


def test_an_effect_is_in_nats_of_upstream_loss(rows: list[Row]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, len(rows))
    nll = {row["key"]: 3 * (row["loss"] + 0.3 * row["sparsity"]) + x for row, x in zip(rows, noise, strict=True)}
    found = probes.effect_of_sparsity(with_last_word(rows, lambda row: nll[row["key"]]), "last word")
    assert not isinstance(found, str)
    assert found["effect"] == pytest.approx(0.3, abs=0.05)
    assert not found["equivalent"]


def test_a_probe_that_does_not_follow_the_loss_measures_nothing(rows: list[Row]) -> None:
    flat = with_last_word(rows, lambda row: rows.index(row) * 31 % 23)
    why = probes.effect_of_sparsity(flat, "last word")
    assert isinstance(why, str)
    assert "measures nothing here" in why
    assert probes.effect_of_sparsity(rows, "injected facts") == "no run records it"


def test_choices_count_only_above_chance(rows: list[Row]) -> None:
    guessing = [row | {"probes": asked(row["loss"], accuracy=0.3)} for row in rows]
    assert probes.at_chance(rows, "open_book") == ""
    assert "30% of the answers are right and chance is 25%" in probes.at_chance(guessing, "open_book")
    why = probes.effect_of_sparsity(guessing, "open book")
    assert isinstance(why, str)
    assert "reading is not measured" in why


def test_power_is_that_of_simulated_tests() -> None:
    rng, n, error = np.random.default_rng(0), 20, 0.04
    draws = 0.1 + error * n**0.5 * rng.standard_normal((4000, n))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / n**0.5)
    seen = float(np.mean(np.abs(t) > 2.093))
    assert float(probes.power(0.1, error, n - 1)) == pytest.approx(seen, abs=0.03)
    assert float(probes.power(probes.least_visible(error, n - 1), error, n - 1)) == pytest.approx(0.8, abs=0.01)


def test_equivalence_needs_an_error_far_below_the_margin() -> None:
    powers = [probes.equivalence_power(error, 20, margin=0.1) for error in (0.01, 0.04, 0.06, 0.2)]
    assert powers == sorted(powers, reverse=True)
    assert powers[0] > 0.99
    assert powers[-1] == 0.0
