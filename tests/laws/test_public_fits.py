"""The recorded fits to public data: what the book shows, and what a fresh fit gives if the data are here."""

import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from moe_lib.laws.parametric import CHINCHILLA
from moe_lib.laws.solver import fit


@pytest.fixture(scope="module")
def recorded(public_fits: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(public_fits.RESULT.read_text())
    return found


def test_every_record_says_where_its_data_come_from(recorded: dict[str, Any]) -> None:
    for part in ("epoch", "gemstones", "clark", "llama", "olmo", "flame"):
        for field in ("source", "repository", "selection"):
            assert recorded[part][field]


def test_no_recorded_fit_is_above_the_published_one(recorded: dict[str, Any]) -> None:
    assert len(recorded["gemstones"]["fits"]) == 24
    for found in recorded["gemstones"]["fits"]:
        assert found["ours"]["objective"] <= found["published"]["objective"] * (1 + 1e-6)
    huber = next(found for found in recorded["epoch"]["fits"] if found["fit"] == "huber:1e-3")
    assert huber["ours"]["objective"] <= 0.0010182740179


def test_the_record_of_the_chinchilla_points_is_what_a_fresh_fit_gives(
    epoch_fits: ModuleType, recorded: dict[str, Any]
) -> None:
    runs = epoch_fits.epoch_runs()
    for found in recorded["epoch"]["fits"]:
        fresh = fit(CHINCHILLA, runs, found["fit"], polishes=2)
        assert {"objective": fresh.minimum, **fresh.coefficients} == pytest.approx(found["ours"], rel=1e-4)


def test_the_record_of_gemstones_is_what_a_fresh_fit_gives(public_fits: ModuleType, recorded: dict[str, Any]) -> None:
    for found in recorded["gemstones"]["fits"][:3]:
        form, runs = public_fits.gemstones_form(found["law"]), public_fits.gemstones_runs(found["runs"])
        fresh = fit(form, runs, f"huber:{found['delta']}", polishes=2)
        assert fresh.minimum == pytest.approx(found["ours"]["objective"], rel=1e-6)


def test_the_published_law_of_the_llama_points_is_a_minimum_and_the_one_found(
    public_fits: ModuleType, recorded: dict[str, Any]
) -> None:
    found = recorded["llama"]["fits"][0]
    for name, value in found["published"].items():
        assert found["ours"][name] == pytest.approx(value, rel=1e-3)
    if not (public_fits.PUBLIC / "isoflops.csv").exists():
        pytest.skip("experiments/public/isoflops.csv is not here; python tools/public_data.py fetches it")
    fresh = fit(CHINCHILLA, public_fits.llama_runs(), "mse", raw=True, polishes=2)
    assert {"objective": fresh.minimum, **fresh.coefficients} == pytest.approx(found["ours"], rel=1e-4)


def test_the_record_of_the_ladder_is_what_a_fresh_fit_gives(public_fits: ModuleType, recorded: dict[str, Any]) -> None:
    runs = public_fits.olmo_runs()
    small = runs[~runs["run"].isin(public_fits.OLMO_TARGETS)]
    fresh = fit(CHINCHILLA, small, polishes=2)
    assert {"objective": fresh.minimum, **fresh.coefficients} == pytest.approx(
        recorded["olmo"]["fits"][0]["ours"], rel=1e-4
    )


def test_two_coefficients_of_flame_are_its_starts(recorded: dict[str, Any]) -> None:
    published = recorded["flame"]["published"]
    assert np.log([published["a"], published["b"]]) == pytest.approx([5, 15], abs=1e-6)
