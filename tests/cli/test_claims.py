"""`moe-lib claims` as scripts and people see it."""

import json


def test_claims_prints_its_contract(moe_here) -> None:
    done = moe_here("claims", "C22", "C35", "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert [first["id"], second["id"]] == ["C22", "C35"]
    assert {"id", "verdict", "scale", "effect", "interval", "evidence"} <= first.keys()
    assert first["evidence"] == "moe_lib.claims.directions.along_sparsity"
    assert second["opposed"] == ["C36"]


def test_the_table_reads_at_80_columns(moe_here, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = moe_here("claims", "C22")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "C22" in done.stdout
    assert "rule:" in done.stdout


def test_without_rows_the_law_is_judged_alone(moe_here, tmp_path) -> None:
    done = moe_here("claims", "C22", "--ledger", tmp_path / "none.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    [one] = json.loads(done.stdout)
    assert one["scale"] == "law"
    assert "0 complete budgets" in one["grounds"]


def test_an_unknown_claim_is_refused_in_a_sentence(moe_here) -> None:
    done = moe_here("claims", "C99")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "id = 'C99' has to be one of C" in done.stderr
