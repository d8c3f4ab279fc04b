"""Runs made from printed laws, and fits to public data."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from moe_lib.laws.implications import runs_of_law
from moe_lib.laws.published import ABNAR2025, BESIROGLU2024
from moe_lib.paper import BUDGETS, SIZES, SPARSITIES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def public_fits() -> ModuleType:
    """The script that fits the public data."""
    spec = importlib.util.spec_from_file_location("public_fits", ROOT / "experiments" / "public_fits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def epoch_fits(public_fits: ModuleType) -> ModuleType:
    """The same for the points that may not be kept in the repository; tests are skipped if they are not here."""
    if not (public_fits.PUBLIC / "epoch.csv").exists():
        pytest.skip("experiments/public/epoch.csv is not here; python tools/public_data.py fetches it")
    return public_fits


@pytest.fixture(scope="session")
def table3_runs() -> pd.DataFrame:
    """270 noise-free runs of the paper's law: five budgets, six sparsities, nine sizes."""
    return runs_of_law(ABNAR2025, BUDGETS, SPARSITIES[:-1], np.geomspace(1e8, SIZES[1], 9))


@pytest.fixture(scope="session")
def noisy_runs(table3_runs: pd.DataFrame) -> pd.DataFrame:
    """The same runs with 0.3 % of noise."""
    noise = np.exp(0.003 * np.random.default_rng(1).standard_normal(len(table3_runs)))
    return table3_runs.assign(L=table3_runs["L"] * noise)


@pytest.fixture(scope="session")
def runs_with_a_bad_one() -> pd.DataFrame:
    """33 dense and sparse runs in which sparsity changes nothing; the loss of the largest is 10 % too high."""
    rows = [
        (n * (1.02 if s == 0.95 else 1), 1e20 / (6 * (1 - s) * n), s)
        for s in (0.0, 0.75, 0.95)
        for n in np.geomspace(1e8, 3e9, 11)
    ]
    runs = pd.DataFrame(rows, columns=["N", "D", "S"])
    noise = np.exp(0.002 * np.random.default_rng(0).standard_normal(len(runs)))
    losses = np.asarray(BESIROGLU2024.loss(runs["N"], runs["D"]) * noise)
    losses[-1] *= 1.1
    return runs.assign(L=losses)
