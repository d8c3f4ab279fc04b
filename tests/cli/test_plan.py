"""`moe-lib plan` as scripts and people see it."""

import json
from pathlib import Path

import pytest

from moe_lib.config import RunConfig
from moe_lib.ledger import Ledger


def test_plan_prints_its_contract(moe_here) -> None:
    done = moe_here(
        "plan", "--flops", "1e21", "--max-bytes", "80e9", "--law", "abnar2025", "--law", "besiroglu2024", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["demand"] == {"flops": 1e21, "max_bytes": 80e9}
    assert [one["law"] for one in found["plans"]] == ["abnar2025", "besiroglu2024"]
    first = found["plans"][0]
    counts = ["sparsity", "n_params", "n_params_active", "n_tokens", "loss"]
    assert [name for name in first if name in counts] == counts
    assert first["n_params"] == pytest.approx(5e9)
    assert 6 * first["n_params_active"] * first["n_tokens"] == pytest.approx(1e21)
    assert first["band"]["sparsity"][0] < first["sparsity"] < first["band"]["sparsity"][1]
    assert first["band"]["n_params"][1] == pytest.approx(5e9)
    assert {bound["name"]: bound["binds"] for bound in first["bounds"]} == {
        "flops": True,
        "max_bytes": True,
        "max_sparsity": False,
    }
    model = first["model"]
    assert model["sparsity"] == (model["n_experts"] - model["n_experts_active"]) / model["n_experts"]
    assert first["memory_bytes"]["training"] == 16 * model["n_params"] <= 80e9
    assert first["gpu_hours"] > 0


def test_the_table_says_which_bound_binds_and_where_the_law_leaves_its_data(moe_here) -> None:
    done = moe_here("plan", "--flops", "1e21", "--serving-tokens", "1e11")
    assert done.returncode == 0, done.stderr
    assert "abnar2025: max-sparsity = 0.98 binds; a tenth less of 1 - S is worth" in done.stdout
    assert "abnar2025: serving-tokens = 1e+11 binds; a tenth less is worth" in done.stdout
    assert "outside this law's data" in done.stdout
    assert "not an optimum" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--flops", "0"], "flops = 0 has to be positive"),
        (["--flops", "1e21", "--law", "nobody"], "law = 'nobody' has to be one of"),
        (["--flops", "1e21", "--law", "clark2022"], "law = clark has no optimum of a budget"),
        (["--flops", "1e21", "--bytes-per-param", "2"], "bytes-per-param needs max-bytes"),
        (["--flops", "1e21", "--max-params", "1e9", "--max-bytes", "1e9"], "cannot both be given"),
        (["--flops", "1e21", "--family", "nobody"], "family = 'nobody' has to be one of paper, ours"),
        (["--flops", "1e21", "--convention", "none"], "convention = 'none' has to be one of"),
        (["--flops", "1e21", "--utilisation", "2"], "utilisation = 2 has to be in (0, 1]"),
        (["--flops", "1e20", "--serving-tokens", "1e25"], "serving-tokens = 1e+25 alone cost more"),
        (["--flops", "1e5"], "flops = 100000 is below"),
        (["--flops", "1e21", "--max-sparsity", "0.999999999999"], "needs more than 4,096 experts; lower max-sparsity"),
        (["--flops", "1e21", "--utilisation", "1e-308", "--json"], "a number that is not finite"),
        (
            ["--flops", "1e21", "--law", "abnar2025", "--law", "ours", "--write", "x.yaml"],
            "write takes the plan of one",
        ),
    ],
)
def test_a_demand_that_cannot_be_met_ends_with_one_sentence_and_code_2(
    moe_here, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = moe_here("plan", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_planned_run_is_trained(moe_here, prose_folder: Path, tmp_path: Path) -> None:
    file, ledger = tmp_path / "run.yaml", tmp_path / "runs.jsonl"
    wanted = ["plan", "--flops", "2e9", "--family", "ours", "--corpus", prose_folder, "--write", file]
    assert moe_here(*wanted).returncode == 0
    assert moe_here("data", "prepare", "--corpus", prose_folder).returncode == 0
    done = moe_here("train", file, "--out", tmp_path / "out", "--ledger", ledger)
    assert done.returncode == 0, done.stderr
    run, [row] = RunConfig.from_yaml(file), Ledger(ledger).rows()
    assert row["key"] == run.key
    assert row["n_params"] == json.loads(moe_here(*wanted[:-2], "--json").stdout)["plans"][0]["model"]["n_params"]
    again = moe_here(*wanted)
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already" in again.stderr
