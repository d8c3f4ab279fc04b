"""The command that waits for a GPU: what it trains, what it leaves, and a report that says what did not run."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.model.grouped import MULTIPLE
from moe_lib.paper import SPARSITIES
from moe_lib.repository import EXPERIMENTS
from moe_lib.sweeps import SweepConfig

GPU = EXPERIMENTS / "gpu"
sys.path.append(str(GPU))

from grid import Clock, grid_runs, train_all, variants  # type: ignore[import-not-found]  # noqa: E402
from report import STAGES, Report  # type: ignore[import-not-found]  # noqa: E402

REFERENCE_TOKENS = 51e6  # of the corpus that can be carried


@pytest.fixture(scope="module")
def sweep() -> SweepConfig:
    return SweepConfig.from_yaml(GPU / "grid.yaml")


def test_the_grid_has_the_papers_ratios_and_sparsities_with_unit_1e14(sweep: SweepConfig) -> None:
    runs = grid_runs(sweep, None)
    budgets = Counter(run.training.flops for run in runs)
    assert budgets == dict.fromkeys((3e13, 6e13, 1e14, 3e14, 1e15), 35)
    assert {run.model.sparsity for run in runs} == set(SPARSITIES)
    assert [run.training.flops for run in runs] == sorted(run.training.flops for run in runs)
    assert {run.training.device for run in runs} == {"cuda"}


def test_the_kernel_takes_every_run_and_the_corpus_is_large_enough(sweep: SweepConfig) -> None:
    for run in grid_runs(sweep, (128, 4.0)):
        assert run.model.d_model % MULTIPLE["bfloat16"] == run.model.d_expert % MULTIPLE["bfloat16"] == 0
        assert plan(run).epochs(REFERENCE_TOKENS) < run.training.max_epochs
        assert plan(run).n_steps >= 20


def test_the_tuned_batch_and_rates_are_those_of_the_grid(sweep: SweepConfig) -> None:
    for plain, tuned in zip(grid_runs(sweep, None), grid_runs(sweep, (32, 2.0)), strict=True):
        assert tuned.training.batch_size == 32
        assert tuned.training.learning_rate == pytest.approx(2 * plain.training.learning_rate, rel=0.05)
        assert tuned.model == plain.model
    [first, *_] = variants(sweep.runs("tuning"), 64, 1.0)
    assert first in grid_runs(sweep, (64, 1.0))  # trained once, for both


def test_a_forecast_scales_with_the_budget_and_takes_the_slowest_of_its_neighbours(sweep: SweepConfig) -> None:
    runs = {run.training.flops: run for run in grid_runs(sweep, None)}
    clock = Clock(seen=[(plan(runs[3e13]).flops, 4.0), (plan(runs[3e13]).flops, 6.0)])
    assert clock.forecast(runs[3e13]) == pytest.approx(1.3 * 6, rel=0.05)
    assert clock.forecast(runs[3e14]) == pytest.approx(1.3 * 60, rel=0.1)
    assert Clock(flops_per_second=1e12).forecast(runs[3e14]) > 300


def test_nothing_starts_that_is_forecast_to_end_after_the_deadline(small_run: RunConfig, tmp_path: Path) -> None:
    clock = Clock(seen=[(plan(small_run).flops, 60.0)])
    result = train_all([small_run], tmp_path / "ledger.jsonl", tmp_path / "work", lambda: 30.0, clock, 1)
    assert result["not_started"] == [{"key": small_run.key, "flops": small_run.training.flops, "forecast_seconds": 78}]
    assert not list(tmp_path.iterdir())


def test_a_report_says_what_ran_what_failed_and_what_did_not_run(tmp_path: Path) -> None:
    def broken() -> tuple[bool, dict[str, object]]:
        raise RuntimeError("no kernel")

    report = Report(tmp_path / "report.json", {"device": "cpu"}, 100.0)
    report.run("exactness", lambda: (True, {"n": 1}))
    report.run("parity", broken, 0.0)
    report.run("resumption", lambda: (False, {"why": "it differs"}), 0.0)
    report.run("speed", lambda: (True, {}), 200.0)
    stages = json.loads((tmp_path / "report.json").read_text())["stages"]
    assert list(stages) == list(STAGES)
    assert [stages[name]["status"] for name in STAGES] == ["passed", "failed", "failed", *["not run"] * 3]
    assert stages["parity"]["why"] == "RuntimeError: no kernel"
    assert stages["resumption"]["why"] == "it differs"
    assert stages["speed"]["why"].endswith("it was forecast to take 200 s")
    assert stages["grid"]["why"] == "the command has not reached it"


@pytest.mark.parametrize("name", ["report.json", "rehearsal.json"])
def test_the_recorded_reports_have_every_stage_and_a_reason_for_what_did_not_run(name: str) -> None:
    content = json.loads((GPU / name).read_text())
    assert content["rehearsal"] == (name == "rehearsal.json")
    assert list(content["stages"]) == list(STAGES)
    for stage in content["stages"].values():
        assert (stage["status"] == "passed") == (stage["why"] is None)
