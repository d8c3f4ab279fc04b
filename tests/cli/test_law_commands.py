"""`moe-lib fit` and `moe-lib optimum` as scripts see them: keys, exit codes, one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moe_lib.cli.options import parse_names
from moe_lib.errors import InputError
from moe_lib.fitting import Request, fit_table
from moe_lib.laws.parametric import CHINCHILLA, SPARSITY, Law
from moe_lib.laws.published import ABNAR2025

TRUTH = Law(CHINCHILLA, {"a": 400.0, "b": 2000.0, "e": 1.8, "alpha": 0.35, "beta": 0.37})


def moe_lib(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from moe_lib.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    rows = [(n, 6 * n * d) for n in np.geomspace(5e7, 1e10, 6) for d in np.geomspace(1e9, 3e11, 6)]
    table = pd.DataFrame(rows, columns=["params", "flops"])
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(36))
    return table.assign(loss=TRUTH.loss(table["params"], table["flops"] / 6 / table["params"]) * noise)


@pytest.fixture(scope="module")
def file(runs: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    runs.to_csv(path, index=False)
    return path


COLUMNS = "N=params,C=flops,L=loss"
NAMES = {"N": "params", "C": "flops", "L": "loss"}


def test_fit_prints_its_contract(file: Path) -> None:
    done = moe_lib(
        "fit", file, "--law", "chinchilla", "--columns", COLUMNS, "--drop-highest", 2, "--bootstrap", 20, "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["law", "coefficients", "objective", "n", "starts", "agreeing_starts", "intervals"]
    assert found["n"] == 34
    assert found["coefficients"].keys() == TRUTH.values.keys() == found["intervals"].keys()
    assert found["coefficients"]["alpha"] == pytest.approx(0.35, abs=0.05)
    assert "2 rows of highest loss were dropped, 34 remain" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--law", "nobody"], "law = 'nobody' cannot be fitted"),
        (["--law", "chinchilla", "--columns", "N=size"], "column 'size' for N is not in the table"),
        (
            ["--law", "chinchilla", "--columns", COLUMNS, "--objective", "mae"],
            "objective = 'mae' has to be huber:DELTA",
        ),
        (["--law", "chinchilla", "--columns", COLUMNS, "--starts", "table2"], "starts = 'table2' has to be grid"),
        (["--law", "chinchilla", "--columns", COLUMNS, "--cluster", "seed"], "cluster = 'seed' is not in the table"),
        (
            ["--law", "chinchilla", "--columns", COLUMNS, "--drop-highest", "32"],
            "needs at least 7 runs, but there are 4",
        ),
        (["--law", "sparsity", "--columns", COLUMNS], "column 'S' for S is not in the table"),
    ],
)
def test_a_wrong_fit_ends_with_one_sentence_and_code_2(arguments: list[str], says: str, file: Path) -> None:
    done = moe_lib("fit", file, *arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_optimum_prints_its_contract() -> None:
    done = moe_lib("optimum", "--law", "abnar2025", "--flops", "1e21", "--params", "15e9", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["sparsity", "n_params", "n_params_active", "n_tokens", "loss", "band", "warnings"]
    assert found["band"][0] < found["sparsity"] < found["band"][1] < 1
    assert 6 * found["n_params_active"] * found["n_tokens"] == pytest.approx(1e21)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--law", "nobody", "--flops", "1e20"], "law = 'nobody' has to be one of abnar2025"),
        (["--law", "abnar2025", "--flops", "0"], "flops = 0 has to be positive"),
        (
            ["--law", "abnar2025", "--flops", "1e20", "--convention", "none"],
            "convention = 'none' has to be one",
        ),
        (
            ["--law", "hoffmann2022", "--flops", "1e20", "--convention", "none"],
            "convention = 'none' has to be one",
        ),
        (["--law", "ours", "--flops", "1e12", "--ledger", "nowhere.jsonl"], "nowhere.jsonl: has no finished runs"),
    ],
)
def test_a_wrong_question_ends_with_one_sentence_and_code_2(arguments: list[str], says: str) -> None:
    done = moe_lib("optimum", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_error_list_the_same_laws() -> None:
    error = moe_lib("optimum", "--law", "nobody", "--flops", "1e20").stderr
    said = " ".join(moe_lib("optimum", "--help").stdout.split())
    listed = error.split("has to be one of ")[1].split(", ours")[0].split(", ")
    assert len(listed) >= 5
    assert all(name in said for name in listed)


def test_an_interval_that_the_runs_do_not_give_is_null_and_said(runs: pd.DataFrame) -> None:
    flat = runs.assign(loss=2 + 0.01 * np.random.default_rng(1).standard_normal(len(runs)))
    report = fit_table(flat, Request(CHINCHILLA, NAMES, resamples=10))
    lost = [name for name, known in report.known.items() if not (known.low or known.high)]
    assert lost
    for name in lost:
        assert report.contract["intervals"][name] is None
        assert any(note.startswith(f"{name} is not identified") for note in report.notes)
    json.dumps(report.contract, allow_nan=False)


@pytest.mark.parametrize(("filled", "row"), [(["a"] * 3, 4), ([], 1)])
def test_an_empty_cluster_is_named_by_its_row(filled: list[str], row: int, runs: pd.DataFrame) -> None:
    labelled = runs.assign(seed=pd.Series(filled, dtype=object))
    with pytest.raises(InputError, match=f"row {row}, column 'seed': is empty and has to hold a label"):
        fit_table(labelled, Request(CHINCHILLA, NAMES, resamples=2, cluster="seed"))


def test_table_2_says_how_it_treats_the_linear_part(table_of_equation_6: pd.DataFrame) -> None:
    notes = fit_table(table_of_equation_6, Request(SPARSITY, starts="table2")).notes
    assert "5,400 exponent cells" in notes[0]
    assert "437,400 starts" in notes[0]
    assert "non-negative least squares" in notes[0]


@pytest.fixture(scope="module")
def table_of_equation_6() -> pd.DataFrame:
    rows = [(n, d, s) for n in np.geomspace(1e8, 1e10, 4) for d in (1e9, 1e10, 1e11) for s in (0, 0.5, 0.9)]
    table = pd.DataFrame(rows, columns=["N", "D", "S"])
    return table.assign(L=ABNAR2025.loss(table["N"], table["D"], table["S"]))


@pytest.mark.parametrize("text", ["N", "N=", "X=loss", "=a"])
def test_a_malformed_pair_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="has to be SYMBOL=COLUMN"):
        parse_names(text)
    assert parse_names("N=Model Size, L=loss") == {"N": "Model Size", "L": "loss"}


def test_a_column_with_a_comma_is_named_in_quotes() -> None:
    assert parse_names("""N="size, total", L='loss, nats',D=d""") == {"N": "size, total", "L": "loss, nats", "D": "d"}
