"""`moe-lib lab` from start to bet."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from moe_lib.ledger import Ledger, Row


def test_a_lab_is_played_from_the_shell(moe_here, make_row: Callable[..., Row], tmp_path: Path) -> None:
    file, ledger = tmp_path / "lab.json", tmp_path / "runs.jsonl"
    assert moe_here("lab", "start", file, "--student", "ada").returncode == 0
    asked = ["lab", "query", file, "--params", "2e8", "--tokens", "1e9", "--sparsity", "0.9", "--json"]
    first, second = (json.loads(moe_here(*asked).stdout) for _ in range(2))
    assert first["flops"] == second["flops"]
    assert first["loss"] != second["loss"]
    state = json.loads(moe_here("lab", "status", file, "--json").stdout)
    assert state["spent"] == first["flops"] * 2
    assert state["bet_flops"] == pytest.approx(first["flops"] * 10)
    assert state["queries"] == [first, second]
    assert "loss: diverged" in moe_here("lab", "query", file, "--params", "2e8", "--tokens", "1e8", "--rate", 99).stdout
    assert "2e+08" in moe_here("lab", "status", file).stdout
    row = make_row(n_params=2_000_000, n_params_active=1_000_000, n_tokens=10_000_000, flops=6e13)
    Ledger(ledger).append(row)
    assert "8 x 1" in moe_here("lab", "cells", file, "--ledger", ledger).stdout
    assert "loss: 3.5" in moe_here("lab", "real", file, "--key", row["key"], "--ledger", ledger).stdout
    bet = ["lab", "bet", file, "--params", "1e8", "--sparsity", "0.9", "--loss", "3", "--json"]
    score = json.loads(moe_here(*bet).stdout)
    assert score["total"] == pytest.approx(score["regret"] + score["error"])
    again = moe_here(*bet)
    assert (again.returncode, again.stdout) == (2, "")
    assert "a student bets once" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["query", "none.json", "--params", "1e8", "--tokens", "1e8"], "none.json: does not exist; start a lab first"),
        (["start", "lab.json", "--student", " "], "student = ' ' has to be a name of characters"),
        (["start", "lab.json", "--student", "ada", "--flops", "nan"], "flops = nan has to be positive and finite"),
    ],
)
def test_a_wrong_command_ends_with_one_sentence_and_code_2(
    moe_here, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = moe_here("lab", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_lab_is_not_started_twice(moe_here, tmp_path: Path) -> None:
    assert moe_here("lab", "start", tmp_path / "lab.json", "--student", "ada").returncode == 0
    done = moe_here("lab", "start", tmp_path / "lab.json", "--student", "ada")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_the_instructor_s_solution_is_printed(moe_here) -> None:
    found = json.loads(moe_here("lab", "solution", "--student", "ada", "--json").stdout)
    assert found["total"] < 0.03
    assert found["spent"] < 1e20
