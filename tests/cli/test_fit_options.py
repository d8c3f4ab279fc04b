"""Each option of `moe-lib fit`, and `moe-lib predict`, on a table with sparsities and budgets."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from moe_lib.cli.app import app
from moe_lib.cli.options import parse_bounds, parse_ties
from moe_lib.errors import InputError
from moe_lib.laws.parametric import FORMS
from moe_lib.laws.published import BESIROGLU2024
from moe_lib.saved_fit import load_fit

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs.csv: 48 dense runs in N, D, C, L, with a weight, a standard error and a sparsity that changes nothing."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [(n, flops / (6 * n), flops) for flops in np.geomspace(1e18, 1e21, 6) for n in np.geomspace(5e7, 5e9, 8)]
    runs = pd.DataFrame(rows, columns=["N", "D", "C"])
    noise = 0.002 * np.random.default_rng(0).standard_normal(len(runs))
    runs = runs.assign(
        L=BESIROGLU2024.loss(runs["N"], runs["D"]) * np.exp(noise),
        w=np.where(runs["N"] > 1e9, 4.0, 1.0),
        se=np.where(runs["N"] > 1e9, 0.5, 1.0),
        kind=np.where(runs.index % 2, "odd", "even"),
    )
    runs.to_csv(folder / "runs.csv", index=False)
    runs.tail(3).drop(columns="L").to_csv(folder / "planned.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def fit(folder: Path) -> Callable[..., dict[str, Any]]:
    def run(*arguments: object, law: str | None = "chinchilla", file: str = "runs.csv") -> dict[str, Any]:
        named = ("--law", law) if law else ()
        command = ["fit", str(folder / file), *named, "--polishes", "2", *map(str, arguments), "--json"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout) | {"said": done.stderr}
        return found

    return run


Fitted = Callable[..., dict[str, Any]]


def test_conditions_choose_rows_by_symbol_and_by_column(fit: Fitted) -> None:
    assert fit("--where", "C < 9e20 and kind == 'odd'")["n"] == 20
    found = fit("--hold-out", "C > 9e20")
    assert (found["n"], found["held_out"]["n"]) == (40, 8)
    assert abs(found["held_out"]["bias"]) < 0.01


def test_values_are_fixed_bounded_and_tied(fit: Fitted) -> None:
    values = fit("--fix", "e=1.8", "--bounds", "alpha=:0.3")["coefficients"]
    assert values["e"] == pytest.approx(1.8)
    assert values["alpha"] <= 0.3
    assert fit("--tie", "beta=alpha")["coefficients"].keys() == {"a", "b", "e", "alpha"}


def test_standard_errors_are_weights_of_one_over_their_square(fit: Fitted) -> None:
    plain, weighted, errors = fit(), fit("--weights", "w"), fit("--standard-errors", "se")
    assert weighted["coefficients"] == pytest.approx(errors["coefficients"], rel=1e-6)
    assert weighted["coefficients"]["alpha"] != pytest.approx(plain["coefficients"]["alpha"], rel=1e-4)


def test_a_form_of_ones_own_is_fitted_as_the_built_in_one(fit: Fitted) -> None:
    typed = fit("--form", "e + a/N**alpha + b/D**beta", law=None)
    assert typed["law"] == "e + a/N**alpha + b/D**beta"
    assert typed["coefficients"] == pytest.approx(fit()["coefficients"], rel=1e-3)


def test_what_is_asked_beside_the_fit_comes_beside_the_contract(fit: Fitted) -> None:
    found = fit("--leave-out", "C", "--grow", "C", "--compare", "compute,kaplan", "--profiles")
    assert [row["left_out"] for row in found["left_out"]] == pytest.approx(list(np.geomspace(1e18, 1e21, 6)))
    assert {row["law"] for row in found["rivals"]} == {"chinchilla", "compute", "kaplan"}
    assert found["rivals"][0]["law"] == "chinchilla"
    assert all(row["distance"] > 1 for row in found["growing"])
    low, high = found["profiles"]["alpha"]
    assert low < found["coefficients"]["alpha"] < high
    assert found["condition_number"] > 1


def test_an_asymmetric_loss_lets_undertrained_runs_be_above(fit: Fitted, folder: Path) -> None:
    runs = pd.read_csv(folder / "runs.csv")
    runs.loc[::3, "L"] *= 1.1  # stopped early
    runs.to_csv(folder / "stopped.csv", index=False)
    truth = BESIROGLU2024.loss(1e9, 2e10)
    said = {}
    for objective in ("huber:1e-2", "huber:1e-2:0.05"):
        v = fit("--objective", objective, file="stopped.csv")["coefficients"]
        said[objective] = v["e"] + v["a"] / 1e9 ** v["alpha"] + v["b"] / 2e10 ** v["beta"]
    assert abs(said["huber:1e-2:0.05"] - truth) < abs(said["huber:1e-2"] - truth) / 2


def test_too_few_resamples_for_the_level_are_said(fit: Fitted) -> None:
    assert "3 resamples are too few for a 95 % interval" in fit("--bootstrap", "3")["said"]
    assert "too few" not in fit("--bootstrap", "3", "--level", "0.3")["said"]


def test_rivals_are_fitted_as_the_fit_itself(fit: Fitted) -> None:
    found = fit("--compare", "compute", "--raw-loss", "--fix", "e=1.8", "--weights", "w")
    own = next(rival for rival in found["rivals"] if rival["law"] == "chinchilla")
    assert own["objective"] == pytest.approx(found["objective"], rel=1e-6)
    assert own["coefficients"] == 4


def test_seed_and_level_change_intervals_and_workers_do_not(fit: Fitted) -> None:
    first, second, narrow, two = (
        fit("--bootstrap", 20, *more)["intervals"]["alpha"]
        for more in ((), ("--seed", 1), ("--level", 0.5), ("--workers", 2))
    )
    assert first != second
    assert narrow[1] - narrow[0] < first[1] - first[0]
    assert two == first


def test_a_saved_fit_predicts_and_recommends(fit: Fitted, folder: Path) -> None:
    saved = folder / "fit.json"
    values = fit("--bootstrap", 20, "--out", saved)["coefficients"]
    done = CliRunner().invoke(app, ["predict", str(saved), str(folder / "planned.csv")], catch_exceptions=False)
    header, *rows = done.stdout.splitlines()
    assert header == "N,D,predicted,low,high"
    n, d, predicted, low, high = map(float, rows[0].split(","))
    assert predicted == pytest.approx(
        values["e"] + values["a"] / n ** values["alpha"] + values["b"] / d ** values["beta"]
    )
    assert low < predicted < high
    done = CliRunner().invoke(app, ["predict", str(saved), str(folder / "runs.csv"), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)[0].keys() == {"N", "D", "predicted", "low", "high", "observed", "residual"}
    done = CliRunner().invoke(
        app, ["optimum", "--law", str(saved), "--flops", "1e20", "--json"], catch_exceptions=False
    )
    assert json.loads(done.stdout)["n_params"] > 0


def test_a_saved_form_of_ones_own_and_a_tied_one_come_back(fit: Fitted, folder: Path) -> None:
    for arguments, law in ((("--form", "e + a/N**x + b/D**x"), None), (("--tie", "beta=alpha"), "chinchilla")):
        fit(*arguments, "--out", folder / "typed.json", law=law)
        command = ["predict", str(folder / "typed.json"), str(folder / "runs.csv"), "--json"]
        rows = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
        assert max(abs(row["residual"]) for row in rows) < 0.02


def test_pictures_are_written(fit: Fitted, folder: Path) -> None:
    said = fit("--plot", folder / "pictures", "--bootstrap", 5)["said"]
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names == {"observed.png", "residuals.png", "profiles.png"}
    assert all(name in said for name in names)
    fit("--plot", folder / "pictures")


def test_files_of_others_are_not_written_over(fit: Fitted, folder: Path) -> None:
    fit("--out", folder / "again.json")
    fit("--out", folder / "again.json")
    (folder / "notes.json").write_text("mine")
    (folder / "mine").mkdir()
    (folder / "mine" / "residuals.png").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.json: exists and is not a saved fit"):
        fit("--out", folder / "notes.json")
    with pytest.raises(InputError, match=r"has a residuals\.png that moe-lib did not write; choose another folder"):
        fit("--plot", folder / "mine")
    assert [path.read_text() for path in (folder / "notes.json", folder / "mine" / "residuals.png")] == ["mine"] * 2
    assert len(list((folder / "mine").iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    ["", "[1]", '"a"', "{}", "[" * 100_000, '{"form": null, "columns": 3}', '{"form": null, "columns": {}, "law": []}'],
)
def test_a_damaged_fit_is_a_sentence(content: str, folder: Path) -> None:
    (folder / "damaged.json").write_text(content)
    with pytest.raises(InputError, match=r"damaged\.json: is (?:damaged|not a file of moe-lib fit --out)"):
        load_fit(folder / "damaged.json")


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_constant_beside_which_no_term_counts_is_no_warning_of_numpy(fit: Fitted) -> None:
    assert fit("--fix", "e=1e30")["coefficients"]["e"] == pytest.approx(1e30)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("arguments", [("--fix", "alpha=-1000"), ("--bounds", "beta=-2e9:-1e9")])
def test_absurd_exponents_are_a_sentence(arguments: tuple[str, str], fit: Fitted) -> None:
    with pytest.raises(InputError, match="leave the range of floating-point numbers"):
        fit(*arguments)


@pytest.mark.parametrize("option", [("--bootstrap", 10**12), ("--workers", 10**9), ("--polishes", 10**9)])
def test_absurd_numbers_are_refused(option: tuple[str, int], folder: Path) -> None:
    command = ["fit", str(folder / "runs.csv"), "--law", "chinchilla", *map(str, option)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert option[0] in done.output


def test_incomplete_rows_are_skipped_only_if_asked(fit: Fitted, folder: Path) -> None:
    runs = pd.read_csv(folder / "runs.csv")
    runs.loc[3, "L"] = np.nan
    runs.to_csv(folder / "incomplete.csv", index=False)
    found = fit("--skip-incomplete", file="incomplete.csv")
    assert found["n"] == 47
    assert "1 incomplete rows were skipped: 4" in found["said"]
    with pytest.raises(InputError, match="row 4, column 'L': is empty"):
        fit(file="incomplete.csv")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--where", "C < 1"), "where = 'C < 1' leaves no rows"),
        (("--hold-out", "C < 1"), "hold-out = 'C < 1' leaves no rows"),
        (("--weights", "x"), "weights = 'x' is not in the table"),
        (("--weights", "w", "--standard-errors", "se"), "leave one out"),
        (("--weights", "kind"), "row 1, column 'kind': weights have to be positive"),
        (("--fix", "zeta=1"), "'zeta' has to be one of a, b, e, alpha, beta"),
        (("--fix", "e=x"), "'x' has to be a number"),
        (("--fix", "e=1e308"), "'1e308' has to be a number from -1e\\+30 to 1e\\+30"),
        (("--fix", "e=1,e=2"), "fix: e is given twice"),
        (("--bounds", "e=0:1,e=2:3"), "bounds: e is given twice"),
        (("--tie", "beta=alpha,beta=alpha"), "tie: beta is given twice"),
        (("--columns", "N=N,N=D"), "columns: N is given twice"),
        (("--objective", "huber:1e308"), "with numbers from 1e-30 to 1e\\+30"),
        (("--bounds", "e=1"), "has to be NAME=LOW:HIGH"),
        (("--tie", "beta=gamma"), "'gamma' has to be one of the exponents alpha, beta"),
        (("--form", "e + a/N**x"), "give one of the two"),
        (("--level", "2"), "level = 2 has to be between 0 and 1"),
        (("--leave-out", "x"), "leave-out = 'x' is not in the table"),
        (("--grow", "kind"), "has to be a column of numbers"),
        (("--compare", "nobody"), "law = 'nobody' cannot be fitted"),
    ],
)
def test_a_wrong_option_is_named(arguments: tuple[str, ...], says: str, fit: Fitted) -> None:
    with pytest.raises(InputError, match=says):
        fit(*arguments)


def test_a_file_that_is_not_a_saved_fit_is_refused(folder: Path) -> None:
    for content in ("", "[]", "{}", '{"law": "chinchilla", "form": null, "tie": {}, "columns": {}, "internal": [1]}'):
        (folder / "other.json").write_text(content)
        with pytest.raises(InputError, match=r"other\.json: is not a file of moe-lib fit --out"):
            CliRunner().invoke(app, ["predict", str(folder / "other.json"), "x.csv"], catch_exceptions=False)


def test_open_ends_of_bounds_are_free() -> None:
    assert parse_bounds("c=0", "alpha=0:0.5, gamma=:2") == {"alpha": (0, 0.5), "gamma": (-np.inf, 2), "c": (0, 0)}
    assert parse_ties("beta=alpha") == {"beta": "alpha"}
    with pytest.raises(InputError, match="fix: e has bounds already"):
        parse_bounds("e=1", "e=0:2")


def test_help_names_every_form_and_shows_an_example_of_each_option() -> None:
    os.environ["COLUMNS"] = "200"
    said = CliRunner().invoke(app, ["fit", "--help"]).output
    assert all(name in said for name in FORMS)
    examples = (
        *("e + a/N**alpha + b/D**beta", "C < 1e21", "S == 0.98", "e=1.6,c=0", "alpha=0:0.5", "beta=alpha"),
        *("huber:1e-3:0.1", "--weights n_seeds", "--standard-errors se", "--leave-out S", "--grow C"),
        *("chinchilla,frantar", "--plot figures", "--out fit.json", "--level 0.9", "--polishes 200"),
        *("--bootstrap 1000", "--cluster shape", "--seed 1", "--workers 2", "--drop-highest 5"),
    )
    for example in examples:
        assert example in said, example
