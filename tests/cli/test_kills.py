"""SIGKILL at any moment: the resumed run ends bit-identical to an uninterrupted one, with one row."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SECONDS_OF_TRAINING = 0.4  # the longest that a process is left alone once it trains
KILLS_OF_A_SOAK = 50


@dataclass
class Kills:
    """How many kills hit a living process, and what it was doing."""

    loading: int = 0
    training: int = 0
    writing: int = 0

    @property
    def total(self) -> int:
        return self.loading + self.training + self.writing

    def __str__(self) -> str:
        return (
            f"{self.total} kills hit a living process: {self.loading} while it loaded, {self.training} between "
            f"checkpoints, {self.writing} while one was being written"
        )


def newest(out: Path) -> Path | None:
    return max(out.glob("step-*.json"), default=None)


def is_half_written(out: Path) -> bool:
    """Whether a kill left a temporary file, or tensors without the marker that follows them."""
    markers = {path.stem for path in out.glob("step-*.json")}
    return any(out.glob(".*")) or any(path.stem not in markers for path in out.glob("step-*.safetensors"))


def kill_once(start, train: list[object], out: Path, rng: random.Random, kills: Kills) -> bool:
    """Start the command and kill it, mostly while it trains; False if it ended before."""
    before = newest(out)
    process = start(*train)
    anywhere = rng.random() < 0.2
    deadline = time.monotonic() + (rng.uniform(0, 3) if anywhere else 120)
    while process.poll() is None and time.monotonic() < deadline and newest(out) == before:
        time.sleep(0.002)
    if not anywhere:
        time.sleep(rng.uniform(0, SECONDS_OF_TRAINING))
    trained = newest(out) != before
    process.kill()
    _, stderr = process.communicate()
    if process.returncode == 0:
        return False
    assert process.returncode == -9, stderr
    kind = "writing" if is_half_written(out) else "training" if trained else "loading"
    setattr(kills, kind, getattr(kills, kind) + 1)
    return True


def kill_until_done(start, case, folder: Path, rng: random.Random, kills: Kills, at_most: int) -> None:
    """Kill a run again and again, then let it end, and compare it with the undisturbed one."""
    out, ledger = folder / "out", folder / "runs.jsonl"
    train = ["train", case.file, "--out", out, "--ledger", ledger, "--checkpoint-seconds", 0]
    while kills.total < at_most and kill_once(start, train, out, rng, kills):
        pass
    last = start(*train)
    _, stderr = last.communicate(timeout=300)
    assert (last.returncode, stderr) == (0, "")
    assert case.is_what_stands(out, ledger), f"{kills}; {sorted(os.listdir(out))}"


def a_seed() -> int:
    seed = int(os.environ.get("MOE_LIB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"MOE_LIB_TEST_SEED={seed} repeats these moments")
    return seed


@pytest.mark.slow
def test_a_run_killed_a_few_times_ends_as_an_undisturbed_one(start, case, tmp_path: Path) -> None:
    kills = Kills()
    kill_until_done(start, case, tmp_path, random.Random(a_seed()), kills, at_most=3)
    print(kills)


@pytest.mark.soak
def test_a_run_killed_fifty_times_ends_as_an_undisturbed_one(start, make_case: Callable, tmp_path: Path) -> None:
    rng, kills, campaign = random.Random(a_seed()), Kills(), 0
    case = make_case(2e10)
    while kills.total < KILLS_OF_A_SOAK:
        (tmp_path / str(campaign)).mkdir()
        kill_until_done(start, case, tmp_path / str(campaign), rng, kills, KILLS_OF_A_SOAK)
        campaign += 1
        print(f"run {campaign} is as an undisturbed one; {kills}", flush=True)
    assert kills.writing > 0
