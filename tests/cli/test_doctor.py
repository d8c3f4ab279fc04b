"""`moe-lib doctor` says what can run here, why the rest cannot, and by its code whether the defaults can."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from moe_lib import doctor, machine
from moe_lib.data import TokenCorpus
from moe_lib.extras import EXTRAS
from moe_lib.model.backends import CPU, NAMES, default_backend


@pytest.fixture
def found(moe_here: Callable, small_corpus: TokenCorpus) -> dict[str, str]:
    done = moe_here("doctor", "--json")
    assert done.returncode == 0, done.stdout
    return {finding["what"]: finding["found"] for finding in json.loads(done.stdout)}


def test_every_back_end_can_run_or_says_why_not(found: dict[str, str]) -> None:
    for name in NAMES:
        said = found[f"back end {name}"]
        assert said.startswith("can run here") or said.startswith(f"backend = '{name}'")
    assert found[f"back end {default_backend(CPU)}"] == "can run here, the default"
    assert found["back end loop"].startswith("can run here")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_megablocks_without_cuda_says_so(found: dict[str, str]) -> None:
    assert found["back end megablocks"] == "backend = 'megablocks' needs a CUDA device, and torch finds none"


def test_it_names_the_machine_and_the_corpora(found: dict[str, str], small_corpus: TokenCorpus) -> None:
    assert found["torch"] == version("torch")
    assert f"{small_corpus.name}-300" in found["corpora"]
    assert float(found["memory"].split()[0]) == pytest.approx(machine.memory_bytes() / 1e9, abs=0.05)
    assert "cores" in found["processor"]


def test_the_table_is_for_people(moe_here: Callable) -> None:
    done = moe_here("doctor")
    assert done.returncode == 0
    assert "back end loop" in done.stdout


def test_a_missing_package_ends_with_code_1(moe_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "train", ("torch", "a_package_that_is_not_there"))
    done = moe_here("doctor", "--json")
    assert done.returncode == 1
    assert {"what": "a_package_that_is_not_there", "ok": False} in [
        {name: finding[name] for name in ("what", "ok")} for finding in json.loads(done.stdout)
    ]


def test_a_full_data_disk_ends_with_code_1(moe_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SMALLEST_DISK", 1e30)
    assert moe_here("doctor").returncode == 1


def test_a_data_folder_that_is_a_file_ends_with_code_1(
    moe_here: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_text("mine")
    monkeypatch.setenv("MOE_LIB_DATA", str(tmp_path / "data"))
    done = moe_here("doctor", "--json")
    assert done.returncode == 1
    assert "data: is not a folder; set MOE_LIB_DATA to another" in done.stdout


def test_a_container_has_the_memory_that_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = tmp_path / "memory.max", tmp_path / "none"
    limits[0].write_text("1000000\n")
    monkeypatch.setattr(machine, "CGROUP_LIMITS", tuple(map(str, limits)))
    assert machine.memory_bytes() == 1_000_000
    limits[0].write_text("max\n")
    assert machine.memory_bytes() > 1_000_000
