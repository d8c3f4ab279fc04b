"""The ledger: rows never vanish and never double, whatever happens while they are written."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from moe_lib.errors import InputError
from moe_lib.ledger import Ledger


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    assert ledger.rows() == []
    assert ledger.append({"key": "a", "loss": 3.5, "config": {"d_model": 8}})
    assert ledger.append({"key": "b", "loss": 3.25})
    assert [row["key"] for row in ledger.rows()] == ["a", "b"]
    assert ledger.table()["config.d_model"][0] == 8


def test_a_key_is_written_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.append({"key": "a", "loss": 1.0})
    assert not ledger.append({"key": "a", "loss": 2.0})
    assert [row["loss"] for row in ledger.rows()] == [1.0]


def test_a_row_that_a_kill_cut_short_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(b'{"key": "a"}\n{"key": "b", "lo')
    ledger = Ledger(path)
    assert ledger.keys() == {"a"}
    assert ledger.append({"key": "b", "loss": 2.0})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.append({"key": "a"})
    before = ledger.path.read_bytes()
    write = os.pwrite

    def half_written(descriptor: int, data: bytes, offset: int) -> int:
        write(descriptor, data[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half_written)
    with pytest.raises(OSError, match="No space left"):
        ledger.append({"key": "b"})
    assert ledger.path.read_bytes() == before


def _append_many(path: Path, worker: int) -> None:
    for number in range(25):
        Ledger(path).append({"key": f"{number}", "worker": worker})


def test_workers_side_by_side_never_double_a_row(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    workers = [multiprocessing.Process(target=_append_many, args=(path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(int(row["key"]) for row in Ledger(path).rows()) == list(range(25))


@pytest.mark.parametrize("line", ["{", '{"loss": 1}', "[1]"])
def test_a_broken_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"key": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2 is no row with a key"):
        Ledger(path).rows()


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Ledger(tmp_path / "runs.jsonl").append({"key": "a", "loss": float("nan")})
