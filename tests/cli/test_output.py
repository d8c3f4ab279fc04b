"""Printing, even if it fails: closed and full outputs, terminals without letters, names of any bytes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from moe_lib.cli.output import print_json
from moe_lib.errors import InputError, plain, sentence
from moe_lib.ledger import Ledger

PROGRAM = "import torch; torch.set_num_threads(1); from moe_lib.cli import main; main()"


@pytest.fixture
def sweep(case, tmp_path: Path) -> list[object]:
    """Arguments of a sweep of one run of a few seconds."""
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"base": yaml.safe_load(case.file.read_text())}))
    places = ["--ledger", tmp_path / "runs.jsonl", "--work", tmp_path / "work"]
    return ["sweep", tmp_path / "sweep.yaml", *places]


@pytest.mark.slow
def test_a_sweep_whose_output_is_closed_leaves_its_row(start: Callable, case, sweep: list[object]) -> None:
    process = start(*sweep)
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (0, "")
    assert [row["loss"] for row in Ledger(sweep[3]).rows()] == [case.loss]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_sweep_whose_output_is_full_leaves_its_row_and_says_so(case, sweep: list[object]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", PROGRAM, *map(str, sweep)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    said = "moe-lib: standard output: No space left on device; the output is incomplete\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert [row["loss"] for row in Ledger(sweep[3]).rows()] == [case.loss]


FLOPS = "from moe_lib.cli import main; main()"


def flops(redirection: str, **settings: str) -> "subprocess.CompletedProcess[bytes]":
    command = f"exec '{sys.executable}' -c '{FLOPS}' flops --d-model 64 --layers 2 {redirection}"
    return subprocess.run(["sh", "-c", command], capture_output=True, env=os.environ | settings, check=False)


def test_a_command_without_any_open_stream_ends_well() -> None:
    assert flops("<&- >&- 2>&-").returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_an_error_stream_that_takes_nothing_changes_no_result(redirection: str) -> None:
    """Warnings go there, and must not end what they warn of."""
    command = f"exec '{sys.executable}' -c '{FLOPS}' optimum --law abnar2025 --flops 1e26 --params 1e9 {redirection}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "parameters N" in done.stdout


def test_a_table_from_a_closed_input_is_a_sentence() -> None:
    command = f"exec '{sys.executable}' -c '{FLOPS}' fit - --law chinchilla <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard input: is not a csv table" in done.stderr


@pytest.mark.parametrize("setting", ["ignore", "error"])
def test_the_environment_neither_hides_a_notice_nor_makes_it_an_error(setting: str) -> None:
    program = (
        "import warnings; from moe_lib.errors import Notice, show_notices_plainly; show_notices_plainly(); "
        "warnings.warn('a row was cut short', Notice)"
    )
    command = [sys.executable, "-W", setting, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "moe-lib: a row was cut short\n")


def test_too_little_memory_is_a_sentence(moe_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("moe_lib.cli.count.count_flops", full)
    done = moe_here("flops", "--d-model", 64, "--layers", 2)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "too little memory" in done.stderr


def test_a_terminal_of_ascii_shows_escapes() -> None:
    done = flops("", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")


NAMES = ["a[b]c", "[red]", "[/]", "[link=x]", ":smile:", "caf\xe9", "tab\there", os.fsdecode(b"\xff\xfe")]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_a_folder_is_printed_and_no_markup(name: str, moe_here: Callable, case, tmp_path: Path) -> None:
    out = tmp_path / name
    done = moe_here("train", case.file, "--out", out, "--ledger", tmp_path / "runs.jsonl")
    assert done.returncode == 0, done.stderr
    assert case.is_what_stands(out, tmp_path / "runs.jsonl")
    if name.isprintable():
        assert str(out) in done.stdout.replace("\n", "")
    refused = moe_here("eval", tmp_path / name / name)
    assert refused.returncode == 2
    assert plain(str(tmp_path / name / name)) in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["train", "run.yaml", "--out", ""], "--out"),
        (["train", "run.yaml", "--out="], "--out"),
        (["sweep", "sweep.yaml", "--block", ""], "--block"),
        (["data", "prepare", "--corpus", ""], "--corpus"),
        (["export", "out", ""], "an argument"),
        (["eval", "out", "--rows", "-1"], "--rows"),
        (["train", "run.yaml", "--out", "out", "--checkpoint-seconds", "nan"], "checkpoint-seconds"),
    ],
)
def test_an_empty_argument_is_refused(
    arguments: list[str], name: str, moe_here: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = moe_here(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert name in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_message_is_one_line_of_limited_length() -> None:
    said = sentence(InputError(f"{'x' * 10**8}\n\x1b[31m\ud800"))
    assert len(said) < 1100
    assert said.endswith(r"xxx\n\x1b[31m\ud800")
    assert " ... " in said


def test_a_number_that_is_not_finite_is_not_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="has a number that is not finite"):
        print_json({"loss": [float("nan")]})
    print_json({"loss": [1.5]})
    assert json.loads(capsys.readouterr().out) == {"loss": [1.5]}
