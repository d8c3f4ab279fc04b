"""`moe-lib ledger merge`: every row once, or nothing at all."""

from moe_lib.ledger import Ledger


def test_ledgers_of_several_nodes_become_one(moe_here, make_row, tmp_path) -> None:
    ledgers = [Ledger(tmp_path / f"node{node}.jsonl") for node in range(3)]
    for seed in range(6):
        ledgers[seed % 3].append(make_row(seed, loss=3 + seed / 7))
    done = moe_here("ledger", "merge", *(one.path for one in ledgers), "--out", tmp_path / "all.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 rows of 3 ledgers" in done.stdout
    assert Ledger(tmp_path / "all.jsonl").rows() == [row for one in ledgers for row in one.rows()]


def refused(done, out) -> str:
    assert (done.returncode, len(done.stderr.splitlines()), out.exists()) == (2, 1, False)
    return done.stderr


def test_a_key_in_two_ledgers_is_refused_with_both_names(moe_here, make_row, tmp_path) -> None:
    first, second, out = (tmp_path / f"{name}.jsonl" for name in ("first", "second", "out"))
    Ledger(first).append(make_row(1))
    Ledger(second).append(make_row(2))
    Ledger(second).append(make_row(1, loss=3.6))
    message = refused(moe_here("ledger", "merge", first, second, "--out", out), out)
    assert f"key = {make_row(1)['key']} is in {first} and in {second}" in message
    assert "is in" in refused(moe_here("ledger", "merge", first, first, "--out", out), out)


def test_a_missing_ledger_is_refused(moe_here, make_row, tmp_path) -> None:
    Ledger(tmp_path / "a.jsonl").append(make_row())
    out = tmp_path / "out.jsonl"
    done = moe_here("ledger", "merge", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--out", out)
    assert f"{tmp_path / 'b.jsonl'}: there is no such ledger" in refused(done, out)


def test_an_existing_file_is_never_replaced(moe_here, make_row, tmp_path) -> None:
    Ledger(tmp_path / "a.jsonl").append(make_row())
    (tmp_path / "out.jsonl").write_text("mine")
    done = moe_here("ledger", "merge", tmp_path / "a.jsonl", "--out", tmp_path / "out.jsonl")
    assert (done.returncode, (tmp_path / "out.jsonl").read_text()) == (2, "mine")
