"""The wheel with base dependencies alone, outside of a checkout: every command works, or says what to install."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

import chapters
from moe_lib.cli.app import app

pytestmark = pytest.mark.slow

SWEEP = """\
base: {corpus: embedded, model: {d_model: 48, n_layers: 2, n_heads: 2}, training: {batch_size: 4}}
grid: {training.flops: [3.0e+12], model.sparsity: [0, 0.75]}
"""
RUN = """\
corpus: embedded
model: {d_model: 48, n_layers: 2, n_heads: 2, sparsity: 0.75}
training: {flops: 3.0e+12, batch_size: 4}
"""
WORK = {
    "flops": "flops --d-model 512 --layers 8 --heads 8 --experts 50 --json",
    "fit": "fit runs.csv --law chinchilla --json",
    "optimum": "optimum --law abnar2025 --flops 1e20 --json",
    "plan": "plan --flops 1e20 --json",
    "sweep": "sweep sweep.yaml --dry-run",
}
NEED_TRAIN = {
    "train": "train run.yaml --out out",
    "sweep": "sweep sweep.yaml",
    "eval": "eval out",
    "export": "export out hf",
    "data prepare": "data prepare",
}
LAB = {  # played in this order
    "lab start": "lab start lab.json --student ada",
    "lab query": "lab query lab.json --params 2e8 --tokens 1e9",
    "lab status": "lab status lab.json --json",
    "lab bet": "lab bet lab.json --params 1e8 --sparsity 0.9 --loss 3",
    "lab solution": "lab solution --student ada",
}
SAY_MORE = {
    "claims",
    "doctor",
    "data tasks",
    "figure",
    "ledger merge",
    "lab cells",
    "lab real",
    "predict",
}  # each has a test of its own

Moe = Callable[[str], "subprocess.CompletedProcess[str]"]


def run(*command: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def base_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and what it depends on, as pinned; its folder of programs."""
    place = tmp_path_factory.mktemp("base")
    shutil.copytree(chapters.ROOT / "src", place / "source/src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(chapters.ROOT / name, place / "source")
    pip, here = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"], place / "env/bin/python"
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", place, place / "source"]
    install = [*pip, "--python", here, "install", "-c", chapters.ROOT / "constraints.txt"]
    for command in (build, [sys.executable, "-m", "venv", "--without-pip", place / "env"], install):
        done = run(*command, *(place.glob("*.whl") if command is install else ()), cwd=place)
        assert done.returncode == 0, done.stderr
    return here.parent


@pytest.fixture
def moe(base_install: Path, tmp_path: Path) -> Moe:
    """`moe("flops --json")` runs the installed command in a folder that holds a run, a sweep and a table of losses."""
    losses = [f"{n},{d},{1.69 + 406.4 / n**0.34 + 410.7 / d**0.28}" for n in (1e8, 3e8, 1e9) for d in (1e9, 1e10, 1e11)]
    (tmp_path / "runs.csv").write_text("\n".join(["N,D,L", *losses]))
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "run.yaml").write_text(RUN)
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "SYSTEMROOT")}
    home = {"HOME": str(tmp_path / "home"), "MOE_LIB_DATA": str(tmp_path / "data"), "PIP_NO_INDEX": "1"}
    return lambda line: run(base_install / "moe-lib", *line.split(), cwd=tmp_path, env=keep | home)


def names(group: "typer.core.TyperGroup", before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield from names(command, f"{name} ") if hasattr(command, "commands") else [before + name]


def test_every_command_is_run_below() -> None:
    assert set(names(typer.main.get_command(app))) == WORK.keys() | NEED_TRAIN.keys() | LAB.keys() | SAY_MORE


@pytest.mark.parametrize("line", WORK.values(), ids=WORK.keys())
def test_a_command_that_trains_nothing_works(moe: Moe, line: str) -> None:
    done = moe(line)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", NEED_TRAIN.values(), ids=NEED_TRAIN.keys())
def test_a_command_that_needs_torch_says_how_to_install_it_and_leaves_nothing(
    moe: Moe, line: str, tmp_path: Path
) -> None:
    done = moe(line)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [sentence] = done.stderr.splitlines()
    assert "needs torch, " in sentence
    assert sentence.endswith("in a checkout of the repository: pip install -e '.[train]'")
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"runs.csv", "sweep.yaml", "run.yaml"}


def test_a_saved_fit_predicts(moe: Moe) -> None:
    assert moe("fit runs.csv --law chinchilla --out fit.json").returncode == 0
    done = moe("predict fit.json runs.csv")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10  # a header and nine runs


def test_the_lab_is_played(moe: Moe) -> None:
    for line in LAB.values():
        done = moe(line)
        assert done.returncode == 0, done.stderr
    for line in ("lab cells lab.json", "lab real lab.json --key none"):  # no ledger is installed
        done = moe(line)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_doctor_names_the_extra_as_it_is_typed(moe: Moe) -> None:
    done = moe("doctor --json")
    assert done.returncode == 1, done.stderr
    assert "missing; in a checkout: pip install -e '.[train]'" in done.stdout
    assert "pip install -e '.[train]'" in " ".join(moe("doctor").stdout.split())


def test_tasks_that_cannot_be_fetched_are_refused_in_a_sentence(moe: Moe) -> None:
    done = moe("data tasks tasks")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_claims_ask_for_a_checkout(moe: Moe) -> None:
    done = moe("claims")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "of the repository, which is missing; work in a checkout of it" in done.stderr
    assert "site-packages" not in done.stderr


def test_the_law_of_our_runs_asks_for_a_checkout_and_names_no_path_of_the_environment(moe: Moe) -> None:
    done = moe("optimum --law ours --flops 1e13")
    assert done.returncode == 2
    assert "of the repository, which is missing; work in a checkout of it" in done.stderr
    assert "site-packages" not in done.stderr
    assert "python3" not in done.stderr


HELPS = """\
import sys
from typer.testing import CliRunner
from moe_lib.cli.app import app
for command in sys.argv[1:]:
    print(CliRunner(env={"COLUMNS": "500"}).invoke(app, [*command.split(), "--help"]).output)
"""


def test_no_help_names_a_file_of_the_repository(base_install: Path, tmp_path: Path) -> None:
    commands = sorted(names(typer.main.get_command(app)))
    done = run(base_install / "python", "-I", "-c", HELPS, *commands, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage:") == len(commands)
    assert "experiments/" not in done.stdout
    assert "site-packages" not in done.stdout
