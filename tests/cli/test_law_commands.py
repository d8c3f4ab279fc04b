"""`moe-lib fit` and `moe-lib optimum` as scripts see them: keys, exit codes, one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moe_lib import fitting
from moe_lib.errors import InputError
from moe_lib.fitting import OURS, fit_table, law_named
from moe_lib.laws.parametric import CHINCHILLA, Law
from moe_lib.ledger import Ledger, Row
from moe_lib.repository import GRID
from moe_lib.sweeps import read_sweep

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
        (["--law", "kaplan"], "law = 'kaplan' cannot be fitted"),
        (["--law", "chinchilla", "--columns", "N=size"], "column 'size' for N is not in the table"),
        (
            ["--law", "chinchilla", "--columns", COLUMNS, "--objective", "mae"],
            "objective = 'mae' has to be huber:DELTA",
        ),
        (["--law", "chinchilla", "--columns", COLUMNS, "--starts", "table2"], "starts = 'table2' has to be grid"),
        (["--law", "chinchilla", "--columns", COLUMNS, "--cluster", "seed"], "cluster = 'seed' is not in the table"),
        (["--law", "chinchilla", "--columns", COLUMNS, "--drop-highest", "32"], "needs at least 5 runs, here are 4"),
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


def test_an_interval_that_the_runs_do_not_give_is_null_and_said(runs: pd.DataFrame) -> None:
    flat = runs.assign(loss=2 + 0.01 * np.random.default_rng(1).standard_normal(len(runs)))
    report = fit_table(flat, "chinchilla", {"N": "params", "C": "flops", "L": "loss"}, resamples=10)
    assert report.unidentified
    for name in report.unidentified:
        assert report.contract["intervals"][name] is None
        assert any(note.startswith(f"{name} is not identified") for note in report.notes)
    json.dumps(report.contract, allow_nan=False)


@pytest.mark.parametrize(("filled", "row"), [(["a"] * 3, 4), ([], 1)])
def test_an_empty_cluster_is_named_by_its_row(filled: list[str], row: int, runs: pd.DataFrame) -> None:
    labelled = runs.assign(seed=pd.Series(filled, dtype=object))
    with pytest.raises(InputError, match=f"row {row}, column 'seed': is empty and has to hold a label"):
        fit_table(labelled, "chinchilla", {"N": "params", "C": "flops", "L": "loss"}, resamples=2, cluster="seed")


def test_table_2_says_how_it_treats_the_linear_part(table_of_equation_6: pd.DataFrame) -> None:
    notes = fit_table(table_of_equation_6, "sparsity", starts="table2").notes
    assert "5,400 exponent cells" in notes[0]
    assert "437,400 starts" in notes[0]
    assert "non-negative least squares" in notes[0]


@pytest.fixture(scope="module")
def table_of_equation_6() -> pd.DataFrame:
    law = law_named("abnar2025", Path())
    rows = [(n, d, s) for n in np.geomspace(1e8, 1e10, 4) for d in (1e9, 1e10, 1e11) for s in (0, 0.5, 0.9)]
    table = pd.DataFrame(rows, columns=["N", "D", "S"])
    return table.assign(L=law.loss(table["N"], table["D"], table["S"]))


def row_of(key: str, params: float, tokens: float, sparsity: float, loss: float) -> Row:
    """A finished run as the ledger has it, as far as a fit reads it."""
    counts = {"n_params": params, "n_params_active": 1.0, "n_tokens": tokens, "sparsity": sparsity, "flops": 1.0}
    config = {"model": {"d_model": 1, "n_layers": 1}, "training": {"flops": 1.0, "seed": 0}}
    return {"key": key, "status": "done", "loss": loss, "loss_standard_error": 0.01, "config": config, **counts}


@pytest.fixture
def ledger(table_of_equation_6: pd.DataFrame, tmp_path: Path) -> Ledger:
    """Runs of the grid on which Eq. 6 holds, among others on which it does not."""
    ledger = Ledger(tmp_path / "runs.jsonl")
    surfaces, others = read_sweep(GRID, *OURS), read_sweep(GRID.with_name("tuning.yaml"))
    some = surfaces[:: len(surfaces) // len(table_of_equation_6)]  # of every block
    assert any(run.training.seed for run in some)
    for run, row in zip(some, table_of_equation_6.itertuples(index=False), strict=False):
        ledger.append(row_of(run.key, row.N, row.D, row.S, row.L))
    for run in others[:40]:
        ledger.append(row_of(run.key, 1e11, 1e9, 0.95, 9.0))
    [shared, *_] = read_sweep(GRID, "shared layers")
    ledger.append(row_of(shared.key, 1e9, 1e9, shared.model.sparsity, 4.0))
    assert shared.model.sparsity == -1
    return ledger


def test_ours_is_equation_6_fitted_to_the_surfaces_of_the_ledger(ledger: Ledger) -> None:
    law = law_named("ours", ledger.path)
    assert law.values["beta"] == pytest.approx(0.3954, rel=1e-3)
    assert law.limits == {"N": 1e10, "S": 0.9}
    assert law.source.startswith("fit to 36 runs of")


def test_ours_mixes_no_texts(ledger: Ledger, tmp_path: Path) -> None:
    mixed = Ledger(tmp_path / "mixed.jsonl")
    for index, row in enumerate(ledger.rows()):
        mixed.append(row | {"corpus_digest": "one" if index else "another"})
    with pytest.raises(InputError, match="has runs on 2 different texts, whose losses cannot be compared"):
        law_named("ours", mixed.path)


def test_ours_needs_enough_runs_and_the_grid_that_asked_for_them(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Ledger(tmp_path / "few.jsonl")
    for row in ledger.rows()[:36:5]:
        few.append(row)
    with pytest.raises(InputError, match="needs at least 10 runs, here are 8"):
        law_named("ours", few.path)
    monkeypatch.setattr(fitting, "GRID", tmp_path / "grid.yaml")
    with pytest.raises(InputError, match=r"law = 'ours' needs .*grid\.yaml, which does not exist"):
        law_named("ours", ledger.path)
