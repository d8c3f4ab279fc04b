"""Six runs on a Slurm of one machine, two of them disturbed; `make slurm-test` starts that cluster."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.ledger import Ledger
from moe_lib.training import train

pytestmark = pytest.mark.slurm
pytest.importorskip("submitit")

SECONDS = 80  # of training for the long run; Slurm signals a job of two minutes within the first of them


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def start(folder: Path, runs: list[RunConfig], *options: str, **environment: str) -> "subprocess.Popen[str]":
    """`moe-lib sweep` over some runs on Slurm."""
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({"blocks": [{"base": json.loads(run.model_dump_json())} for run in runs]}))
    program = [sys.executable, "-c", "from moe_lib.cli import main; main()", "sweep", str(file), "--engine", "slurm"]
    places = ["--ledger", str(folder / "runs.jsonl"), "--work", str(folder / "work")]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*program, *places, *options],
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=os.environ | {"COLUMNS": "200"} | environment,
    )


def wait_until(condition, seconds: float, sweep: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.fixture(scope="module")
def runs(small_run: RunConfig, small_corpus: TokenCorpus) -> list[RunConfig]:
    """One run of more than a minute and five of a second."""

    def with_flops(flops: float, seed: int = 0) -> RunConfig:
        return small_run.with_(training=small_run.training.with_(flops=flops, seed=seed, max_epochs=1e6))

    sample = train(with_flops(1e10), small_corpus)
    speed = sample.tokens_per_second * sample.plan.flops_per_token
    return [with_flops(SECONDS * speed), *(with_flops(3e8, seed) for seed in range(1, 6))]


def test_a_sweep_of_six_with_a_cancelled_and_a_timed_out_job_ends_with_six_rows(
    runs: list[RunConfig], tmp_path: Path
) -> None:
    ledger, [long, *short] = Ledger(tmp_path / "runs.jsonl"), runs
    sweep = start(tmp_path, runs, "--minutes", "2", "--workers", "2")
    wait_until(lambda: slurm("squeue", "--noheader", "--format=%F"), 120, sweep)
    array = slurm("squeue", "--noheader", "--format=%F").split()[0]
    slurm("scancel", f"{array}_5")
    deadline = time.monotonic() + 600
    while sweep.poll() is None and time.monotonic() < deadline:
        if "BeginTime" in slurm("squeue", "--noheader", "--format=%r"):  # Slurm lets a requeued job wait two minutes
            slurm("scontrol", "update", f"JobId={array}_0", "StartTime=now")
        time.sleep(1)
    output, errors = sweep.communicate(timeout=1)

    assert (sweep.returncode, errors) == (1, "")
    assert f"no row for run {short[-1].key}: its job was cancelled before it started; repeat the command" in output
    assert {row["key"] for row in ledger.rows()} == {run.key for run in runs[:-1]}

    # The long run lost nothing: each job went on after the very step at which the signal stopped the one before.
    [log] = (tmp_path / "work" / "slurm").glob("*_0_0_log.out")
    saved, resumed = (re.findall(rf"{word} after step (\d+)", log.read_text()) for word in ("saved", "resumed"))
    assert saved == resumed
    assert saved
    assert re.search(r"finished .*was requeued (once|\d+ times) and resumed", output)
    [row] = [row for row in ledger.rows() if row["key"] == long.key]
    assert row["n_steps"] > int(saved[-1])

    again = start(tmp_path, runs, "--minutes", "2")
    output, errors = again.communicate(timeout=300)
    assert (again.returncode, errors) == (0, ""), output
    assert "6 runs, 5 of them in" in output
    assert sorted(row["key"] for row in ledger.rows()) == sorted(run.key for run in runs)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["slurm"]


@pytest.mark.parametrize(
    ("options", "environment", "sentence"),
    [
        (["--gpus", "1"], {}, "Slurm refused the jobs: Invalid generic resource (gres) specification"),
        ([], {"SBATCH_PARTITION": "none"}, "Slurm refused the jobs: Invalid partition name specified"),
        (
            ["--minutes", "3"],
            {"SBATCH_PARTITION": "short"},
            "minutes = 3 has to be at most 1, the time limit of Slurm's partition 'short'",
        ),
        (["--minutes", "3"], {"SBATCH_TIMELIMIT": "2:00:00"}, "minutes = 3 and SBATCH_TIMELIMIT = 2:00:00 cannot both"),
    ],
)
def test_jobs_that_slurm_would_refuse_are_refused_in_a_sentence(
    options: list[str], environment: dict[str, str], sentence: str, runs: list[RunConfig], tmp_path: Path
) -> None:
    sweep = start(tmp_path, runs[1:3], *options, **environment)
    _, errors = sweep.communicate(timeout=120)
    assert (sweep.returncode, len(errors.splitlines())) == (2, 1), errors
    assert sentence in errors
    assert not (tmp_path / "runs.jsonl").exists()
