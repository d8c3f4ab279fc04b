"""The ledger: rows never vanish and never double, whatever happens while they are written."""

import json
import multiprocessing
import os
import random
import time
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


def test_writers_killed_while_they_write_leave_whole_rows(tmp_path: Path) -> None:
    """Three writers race over the same keys; each is killed twenty times at a random moment and started again."""
    path, rng = tmp_path / "runs.jsonl", random.Random(0)
    fork = multiprocessing.get_context("fork")
    hit = 0
    for round_ in range(20):
        writers = [fork.Process(target=_append_for_ever, args=(path, round_)) for _ in range(3)]
        for writer in writers:
            writer.start()
        time.sleep(rng.uniform(0.005, 0.05))
        for writer in writers:
            hit += writer.is_alive()
            writer.kill()
            writer.join()
        keys = [row["key"] for row in Ledger(path).rows()]
        assert sorted(keys, key=int) == [str(number) for number in range(len(keys))]
    assert hit == 60
    Ledger(path).append({"key": "last"})
    assert all(json.loads(line)["text"] == FILLING for line in path.read_text().splitlines()[:-1])


FILLING = "long" * 2000


def _append_for_ever(path: Path, round_: int) -> None:
    number = len(Ledger(path).rows())
    while True:
        Ledger(path).append({"key": str(number), "text": FILLING})
        number += 1


def test_every_part_of_a_row_that_a_kill_leaves_is_taken_off(tmp_path: Path) -> None:
    first, second = b'{"key": "a"}\n', b'{"key": "b", "loss": 2.5, "text": "\\n}"}\n'
    for length in range(len(second)):
        path = tmp_path / f"{length}.jsonl"
        path.write_bytes(first + second[:length])
        lacks_only_its_end = length == len(second) - 1
        assert Ledger(path).append({"key": "b", "loss": 1.0}) != lacks_only_its_end
        assert [row["key"] for row in Ledger(path).rows()] == ["a", "b"]


def test_a_last_row_without_an_end_of_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b"}')
    Ledger(path).append({"key": "c"})
    assert [row["key"] for row in Ledger(path).rows()] == ["a", "b", "c"]


def test_a_key_that_a_merge_brought_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b"}\n{"key": "a"}\n')
    with pytest.raises(InputError, match=r"runs\.jsonl: line 3 repeats the key of line 1, a; remove one"):
        Ledger(path).rows()


@pytest.mark.parametrize("line", ["{", '{"loss": 1}', "[1]"])
def test_a_broken_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"key": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2 is no row with a key"):
        Ledger(path).rows()


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Ledger(tmp_path / "runs.jsonl").append({"key": "a", "loss": float("nan")})
