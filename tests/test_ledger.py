"""The ledger: rows are never lost or duplicated, whatever happens while they are written."""

import json
import multiprocessing
import os
import random
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from moe_lib import files
from moe_lib import ledger as ledgers
from moe_lib.errors import InputError, Notice
from moe_lib.ledger import Ledger, Row

MakeRow = Callable[..., Row]


def text_of(*rows: Row) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def seeds(ledger: Ledger) -> list[int]:
    return [row["config"]["training"]["seed"] for row in ledger.rows()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.jsonl"


def test_rows_come_back_as_written(path: Path, make_row: MakeRow) -> None:
    ledger = Ledger(path)
    assert ledger.rows() == []
    assert ledger.append(make_row(0))
    assert ledger.append(make_row(1, loss=3.25))
    assert [{name: row[name] for name in row if name != "digest"} for row in ledger.rows()] == [
        make_row(0),
        make_row(1, loss=3.25),
    ]
    assert ledger.table()["config.model.d_model"][0] == 8


def test_a_key_is_written_once(path: Path, make_row: MakeRow) -> None:
    ledger = Ledger(path)
    ledger.append(make_row(0, loss=1.0))
    assert not ledger.append(make_row(0, loss=2.0))
    assert [row["loss"] for row in ledger.rows()] == [1.0]


def test_a_row_that_a_kill_cut_short_is_kept_beside_the_ledger(path: Path, make_row: MakeRow) -> None:
    path.write_text(text_of(make_row(0)) + '{"key": "b", "lo')
    ledger = Ledger(path)
    with pytest.warns(Notice, match=r"runs\.jsonl: the last line was cut short and is ignored"):
        assert seeds(ledger) == [0]
    with pytest.warns(Notice, match=r"runs\.jsonl: the last line was cut short; it is now in .*runs\.jsonl\.cut"):
        assert ledger.append(make_row(1))
    assert seeds(ledger) == [0, 1]
    assert (path.parent / "runs.jsonl.cut").read_text() == '{"key": "b", "lo\n'


def test_what_is_cut_off_is_added_to_what_was_cut_off_before(path: Path, make_row: MakeRow) -> None:
    for seed in range(2):
        with open(path, "a") as stream:
            stream.write('{"key": %d' % seed)  # noqa: UP031
        with pytest.warns(Notice, match="cut short"):
            Ledger(path).append(make_row(seed))
    assert (path.parent / "runs.jsonl.cut").read_text() == '{"key": 0\n{"key": 1\n'


@pytest.mark.parametrize("content", ["to do: buy milk", "first\nsecond", "\0\0\0\0", "[1, 2]", "3", '{"a": 1}'])
def test_a_file_that_is_not_a_ledger_is_refused_and_left_as_it_was(content: str, path: Path, make_row: MakeRow) -> None:
    path.write_text(content)
    for attempt in (Ledger(path).rows, Ledger(path).require_writable, lambda: Ledger(path).append(make_row(0))):
        with pytest.raises(InputError, match="is not a row"):
            attempt()
    assert path.read_text() == content


def test_a_ledger_with_carriage_returns_alone_is_refused_and_left_as_it_was(path: Path, make_row: MakeRow) -> None:
    content = text_of(make_row(0), make_row(1)).replace("\n", "\r").encode()
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a row"):
        Ledger(path).append(make_row(2))
    assert path.read_bytes() == content


def test_a_ledger_with_the_ends_of_lines_of_windows_is_read(path: Path, make_row: MakeRow) -> None:
    path.write_bytes(text_of(make_row(0), make_row(1)).replace("\n", "\r\n").encode())
    Ledger(path).append(make_row(2))
    assert seeds(Ledger(path)) == [0, 1, 2]


def test_a_full_disk_leaves_the_ledger_as_it_was(
    path: Path, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(path)
    ledger.append(make_row(0))
    before = path.read_bytes()
    write = os.pwrite

    def half_written(descriptor: int, data: bytes, offset: int) -> int:
        write(descriptor, data[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half_written)
    with pytest.raises(OSError, match="No space left"):
        ledger.append(make_row(1))
    assert path.read_bytes() == before


def test_a_row_survives_that_the_ledger_is_replaced_while_an_append_waits(path: Path, make_row: MakeRow) -> None:
    """As an editor saves, and as git checks out: another file takes the name of the one whose lock is awaited."""
    Ledger(path).append(make_row(0))
    with ThreadPoolExecutor(1) as pool:
        with ledgers.locked(path):
            waiting = pool.submit(Ledger(path).append, make_row(1))
            time.sleep(0.3)
            (path.parent / "saved").write_bytes(path.read_bytes())
            (path.parent / "saved").replace(path)
        assert waiting.result()
    assert seeds(Ledger(path)) == [0, 1]


def test_a_row_survives_that_the_ledger_is_replaced_while_it_is_written(
    path: Path, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(path).append(make_row(0))
    old, sync = path.read_bytes(), os.fsync

    def replace_once(descriptor: int) -> None:
        sync(descriptor)
        monkeypatch.setattr(os, "fsync", sync)
        (path.parent / "saved").write_bytes(old)
        (path.parent / "saved").replace(path)

    monkeypatch.setattr(os, "fsync", replace_once)
    assert Ledger(path).append(make_row(1))
    assert seeds(Ledger(path)) == [0, 1]


def _append_many(path: Path, rows: list[Row]) -> None:
    for row in rows:
        Ledger(path).append(row)


def test_workers_side_by_side_never_duplicate_a_row(path: Path, make_row: MakeRow) -> None:
    workers = [
        multiprocessing.Process(target=_append_many, args=(path, [make_row(n, worker=worker) for n in range(25)]))
        for worker in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(seeds(Ledger(path))) == list(range(25))


def test_writers_killed_while_they_write_leave_whole_rows(path: Path, make_row: MakeRow) -> None:
    """Three writers race over the same keys; each is killed twenty times at a random moment and started again."""
    rng = random.Random(0)
    fork = multiprocessing.get_context("fork")
    rows = [make_row(number, text=FILLING) for number in range(3000)]
    hit = 0
    for _ in range(20):
        writers = [fork.Process(target=_append_many, args=(path, rows[_n_lines(path) :])) for _ in range(3)]
        for writer in writers:
            writer.start()
        time.sleep(rng.uniform(0.005, 0.05))
        for writer in writers:
            hit += writer.is_alive()
            writer.kill()
            writer.join()
        assert sorted(found := seeds(Ledger(path))) == list(range(len(found)))
    assert hit == 60
    Ledger(path).append(make_row(len(rows), text=FILLING))
    assert all(row["text"] == FILLING for row in Ledger(path).rows())


FILLING = "long" * 2000


def _n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.filterwarnings("ignore:.*cut short")
def test_every_part_of_a_row_that_a_kill_leaves_is_taken_off(tmp_path: Path, make_row: MakeRow) -> None:
    first, second = (text_of(make_row(seed, text="\\n}")).encode() for seed in range(2))
    for length in [*range(12), *range(12, len(second) - 4, 61), *range(len(second) - 4, len(second))]:
        path = tmp_path / f"{length}.jsonl"
        path.write_bytes(first + second[:length])
        lacks_only_its_end = length == len(second) - 1
        assert Ledger(path).append(make_row(1)) != lacks_only_its_end
        assert seeds(Ledger(path)) == [0, 1]


def test_a_last_row_without_an_end_of_line_is_kept(path: Path, make_row: MakeRow) -> None:
    path.write_text(text_of(make_row(0), make_row(1)).rstrip())
    Ledger(path).append(make_row(2))
    assert seeds(Ledger(path)) == [0, 1, 2]


def test_a_key_that_a_merge_brought_twice_is_named(path: Path, make_row: MakeRow) -> None:
    path.write_text(text_of(make_row(0), make_row(1), make_row(0)))
    with pytest.raises(InputError, match=r"runs\.jsonl: line 3 repeats the key of line 1, \w+; remove one"):
        Ledger(path).rows()


DEEP = '{"a": ' * 100_000
WRONG: dict[str, tuple[Any, str]] = {
    "not JSON": ("{", "it is not JSON"),
    "nested without end": (DEEP, "it is not JSON .its JSON is nested too deeply"),
    "not a mapping": ("[1]", "it has to be a mapping"),
    "without a key": ({"key": None}, "key = None has to be a string"),
    "a number as key": ({"key": 5}, "key = 5 has to be a string"),
    "without a status": ({"status": None}, "status = None has to be done or diverged"),
    "without a config": ({"config": None}, "config = None has to be a mapping"),
    "without a loss": ({"loss": None}, "loss = None has to be a finite number"),
    "a loss that is not finite": ({"loss": 1e999}, "it is not JSON|has to be a finite number"),
    "a size without end": ({"n_params": 10**4000}, "n_params = 10{10,}.* has to be a finite number"),
    "another key": ({"key": "0" * 16}, r"its config is that of run \w{16}, and its key is 0000000000000000"),
    "an unknown field": ({"config": {"sed": 1}}, "config: model is missing|config: sed is not a field"),
}


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_is_not_a_row_is_named(line: str, path: Path, make_row: MakeRow) -> None:
    wrong, sentence = WRONG[line]
    path.write_text(
        text_of(make_row(0)) + (wrong if isinstance(wrong, str) else json.dumps(make_row(1) | wrong)) + "\n"
    )
    with pytest.raises(InputError, match=rf"line 2 is not a row: (?:{sentence})"):
        Ledger(path).rows()
    if isinstance(wrong, dict) and "loss" not in wrong:
        with pytest.raises(InputError, match=rf"cannot be written: (?:{sentence})"):
            Ledger(path.with_name("new.jsonl")).append(make_row(1) | wrong)


@pytest.mark.parametrize("change", [{"loss": 1.0}, {"n_params": 7}, {"curve": {"step": [], "loss": []}}])
def test_a_row_that_was_changed_is_named(change: Row, path: Path, make_row: MakeRow) -> None:
    Ledger(path).append(make_row(0))
    [row] = Ledger(path).rows()
    path.write_text(text_of(row | change))
    with pytest.raises(InputError, match="line 1 is not a row: it was changed after it was written"):
        Ledger(path).rows()


def test_a_changed_config_is_named_also_in_rows_without_a_digest(path: Path, make_row: MakeRow) -> None:
    row = make_row(0)
    row["config"]["training"]["learning_rate"] *= 2
    path.write_text(text_of(row))
    with pytest.raises(InputError, match="line 1 is not a row: its config is that of run"):
        Ledger(path).rows()


def test_a_row_from_before_a_field_was_added_keeps_its_key(path: Path, make_row: MakeRow) -> None:
    row = make_row(0)
    del row["config"]["training"]["precision"]
    path.write_text(text_of(row))
    assert Ledger(path).keys() == {row["key"]}


def test_numbers_that_are_not_finite_are_refused(path: Path, make_row: MakeRow) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Ledger(path).append(make_row(0, loss=float("nan")))


def bytes_read_by(append: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> int:
    counted = 0
    read_bytes, pread = ledgers.read_bytes, os.pread

    def count(read: Callable[..., bytes]) -> Callable[..., bytes]:
        def counting(*arguments: Any) -> bytes:
            nonlocal counted
            content = read(*arguments)
            counted += len(content)
            return content

        return counting

    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "read_bytes", count(read_bytes))
        patch.setattr(os, "pread", count(pread))
        assert append()
    return counted


def test_an_append_reads_keys_and_no_rows(path: Path, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path)
    for seed in range(100):
        ledger.append(make_row(seed, text="long" * 10_000))
    read = bytes_read_by(lambda: ledger.append(make_row(100)), monkeypatch)
    assert read < 100 * 20 + ledgers.READ_AT_ONCE + 100 < path.stat().st_size / 10


@pytest.mark.parametrize("damage", ["", "0 0 0 0\n", "\xff", "a directory", "of another ledger"])
def test_a_damaged_index_is_not_trusted(damage: str, path: Path, make_row: MakeRow) -> None:
    ledger, index = Ledger(path), path.with_name(".runs.jsonl.keys")
    ledger.append(make_row(0))
    index.unlink()
    if damage == "a directory":
        index.mkdir()
    elif damage == "of another ledger":
        other = Ledger(path.parent / "other.jsonl")
        other.append(make_row(1))
        (path.parent / ".other.jsonl.keys").replace(index)
    else:
        index.write_text(damage, encoding="latin-1")
    assert not ledger.append(make_row(0))
    assert ledger.append(make_row(1))
    assert seeds(ledger) == [0, 1]


def test_rows_that_came_by_another_way_are_known(path: Path, make_row: MakeRow) -> None:
    ledger = Ledger(path)
    ledger.append(make_row(0))
    with open(path, "a") as stream:
        stream.write(text_of(make_row(1)))
    assert ledger.keys() == {make_row(0)["key"], make_row(1)["key"]}
    assert not ledger.append(make_row(1))
    path.write_text(text_of(make_row(2)))
    assert ledger.append(make_row(0))
    assert seeds(ledger) == [2, 0]


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "make", [fifo, lambda path: Path("/dev/zero"), lambda path: Path("/dev/full"), lambda path: path.parent]
)
def test_only_a_regular_file_is_a_ledger(make: Callable[[Path], Path], path: Path, make_row: MakeRow) -> None:
    ledger = Ledger(make(path))
    for attempt in (ledger.rows, ledger.require_writable, lambda: ledger.append(make_row(0))):
        with pytest.raises(InputError, match="has to be a regular file"):
            attempt()


def test_a_link_to_itself_is_refused_before_a_run_is_trained(path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        Ledger(path).require_writable()


def test_the_rows_of_the_book_are_valid() -> None:
    assert len(ledgers.book_ledger().rows()) >= 285


def of_rows(path: Path, n_rows: int) -> Ledger:
    """A ledger of so many lines that nobody reads, with the index that its last append left."""
    keys = [f"{number:016x}" for number in range(n_rows)]
    path.write_text("".join(json.dumps({"key": key, "text": "long" * 100}) + "\n" for key in keys))
    ledgers._Index(path).write(keys, path.stat())
    return Ledger(path)


def test_an_append_at_twenty_thousand_rows_is_about_as_fast_as_at_three_hundred(
    tmp_path: Path, make_row: MakeRow
) -> None:
    """Reading the rows takes sixty times as long; keys alone cost little beside the rest of an append."""

    def seconds(n_rows: int) -> float:
        ledger, rows = of_rows(tmp_path / f"{n_rows}.jsonl", n_rows), [make_row(seed) for seed in range(15)]
        taken = []
        for row in rows:
            began = time.process_time()
            assert ledger.append(row)
            taken.append(time.process_time() - began)
        return sorted(taken)[len(taken) // 2]

    few = seconds(300)
    assert seconds(20_000) < 25 * few


@pytest.mark.parametrize("name", [".runs.jsonl.keys", "runs.jsonl.cut"])
def test_files_beside_the_ledger_are_not_written_through_a_link(name: str, path: Path, make_row: MakeRow) -> None:
    Ledger(path).append(make_row(0))
    with open(path, "a") as stream:
        stream.write('{"key": "b", "lo')
    mine = path.with_name("mine")
    mine.write_text("mine")
    path.with_name(name).unlink(missing_ok=True)
    path.with_name(name).symlink_to(mine)
    if name.endswith("cut"):
        with pytest.raises(OSError, match="symbolic links"):
            Ledger(path).append(make_row(1))
        assert path.read_text().endswith('"lo')
    else:
        with pytest.warns(Notice, match="cut short"):
            Ledger(path).append(make_row(1))
        assert seeds(Ledger(path)) == [0, 1]
    assert mine.read_text() == "mine"


def test_a_file_of_somebody_else_in_the_place_of_the_index_stays(path: Path, make_row: MakeRow) -> None:
    beside = path.with_name(".runs.jsonl.keys")
    beside.write_text("mine\n")
    ledger = Ledger(path)
    assert [ledger.append(make_row(seed)) for seed in (0, 1, 0)] == [True, True, False]
    assert beside.read_text() == "mine\n"


def test_a_long_wait_for_a_lock_is_said(path: Path, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    Ledger(path).append(make_row(0))
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with ledgers.locked(path):
            waiting = pool.submit(Ledger(path).append, make_row(1))
            time.sleep(1)
        assert waiting.result()
    assert ["another process holds its lock" in str(one.message) for one in said] == [True]
