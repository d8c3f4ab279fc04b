"""Tables of runs: wrong cells are named by row and column, and nothing is dropped unasked."""

import gzip
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moe_lib import table_files
from moe_lib.errors import InputError
from moe_lib.reading import repeated
from moe_lib.table_files import read_table
from moe_lib.tables import runs_for, without_incomplete

GOOD = pd.DataFrame({"N": [1e8, 1e9, 1e10], "D": [1e9, 2e9, 3e9], "S": [0.0, 0.5, 0.9], "L": [3.0, 2.8, 2.6]})
INPUTS = ("N", "D", "S")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".parquet"])
def test_every_kind_of_file_holds_the_same_table(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"runs{suffix}"
    if suffix == ".jsonl":
        GOOD.to_json(file, orient="records", lines=True)
    elif suffix == ".parquet":
        GOOD.to_parquet(file)
    else:
        GOOD.to_csv(file, index=False)
    assert np.allclose(runs_for(read_table(file), INPUTS).columns[[*INPUTS, "L"]], GOOD)


def test_nested_json_is_reached_by_dots(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"model": {"n": 1}, "loss": 3}\n{"model": {"n": 2}, "loss": 2}\n')
    assert list(read_table(tmp_path / "a.jsonl")["model.n"]) == [1, 2]


@pytest.mark.parametrize(
    ("column", "row", "value", "says"),
    [
        ("S", 2, 1.0, r"row 2, column 'S': S = 1 has to be in \[0, 1\)"),
        ("S", 1, -0.1, r"row 1, column 'S': S = -0.1 has to be in"),
        ("N", 3, 0, "row 3, column 'N': N = 0 has to be positive"),
        ("D", 1, -5, "row 1, column 'D': D = -5 has to be positive"),
        ("L", 2, np.nan, "row 2, column 'L': is empty"),
        ("L", 2, np.inf, "row 2, column 'L': L = inf has to be positive, from 1e-30"),
        ("L", 3, "n/a", "row 3, column 'L': 'n/a' is not a number"),
        ("N", 1, "7X", "row 1, column 'N': '7X' is not a number"),
        ("L", 1, "7B", "row 1, column 'L': '7B' is not a number"),
        ("L", 2, True, "row 2, column 'L': True is not a number"),
        ("N", 2, 10**400, "row 2, column 'N': 10{9}"),
    ],
)
def test_a_wrong_cell_is_named(column: str, row: int, value: object, says: str) -> None:
    table = GOOD.astype(object)
    table.loc[row - 1, column] = value
    with pytest.raises(InputError, match=says):
        runs_for(table, INPUTS)


def test_a_missing_column_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match="column 'loss' for L is not in the table, which has N, D, S, L"):
        runs_for(GOOD, INPUTS, names={"L": "loss"})
    with pytest.raises(InputError, match="column 'S' for S is not in the table, which has N, D, L"):
        runs_for(GOOD.drop(columns="S"), INPUTS)


def test_runs_of_one_sparsity_cannot_carry_a_law_in_sparsity() -> None:
    with pytest.raises(InputError, match=r"column 'S': all 3 rows have S = 0\.5; a law in S needs at least two"):
        runs_for(GOOD.assign(S=0.5), INPUTS)
    with pytest.raises(InputError, match=r"all 3 rows have N_a / N = 0\.5"):
        runs_for(GOOD.assign(S=0.5), ("N", "Na", "D"))


def test_tokens_come_from_the_budget_if_they_are_missing() -> None:
    table = GOOD.drop(columns="D").assign(C=6e18)
    assert np.allclose(runs_for(table.drop(columns="S"), ("N", "D")).columns["D"], 1e18 / table["N"])
    active = (1 - table["S"]) * table["N"]
    assert np.allclose(runs_for(table, INPUTS).columns["D"], 1e18 / active)
    assert np.allclose(
        runs_for(table.assign(A=active * 1.5), INPUTS, names={"Na": "A"}).columns["D"], 1e18 / (1.5 * active)
    )


def test_a_dense_law_takes_its_tokens_from_active_parameters_if_the_table_has_sparsity() -> None:
    table = GOOD.drop(columns="D").assign(C=6e18)
    found = runs_for(table, ("N", "D"))
    assert np.allclose(found.columns["D"], 1e18 / ((1 - table["S"]) * table["N"]))
    assert found.derived == ("D = C / (6 N_a) with N_a = (1 - S) N",)
    assert runs_for(table.drop(columns="S"), ("N", "D")).derived == (
        "D = C / (6 N), since the table has no S and no N_a",
    )
    assert runs_for(GOOD, INPUTS).derived == ()


def test_active_parameters_are_the_ideal_share_unless_they_are_given() -> None:
    assert np.allclose(runs_for(GOOD, ("Na", "D", "S")).columns["Na"], (1 - GOOD["S"]) * GOOD["N"])
    assert np.allclose(runs_for(GOOD.assign(Na=[1e8, 6e8, 2e9]), ("Na", "D", "S")).columns["Na"], [1e8, 6e8, 2e9])


def test_what_was_dropped_is_counted_and_ties_go_together() -> None:
    table = GOOD.assign(L=[3.0, 3.0, 2.6])
    found = runs_for(table, INPUTS, drop_highest=1)
    assert (found.dropped, len(found.columns)) == (2, 1)
    assert runs_for(table, INPUTS).dropped == 0
    with pytest.raises(InputError, match="drop-highest = 3 has to be between 0 and"):
        runs_for(table, INPUTS, drop_highest=3)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("1.5B", 1.5e9),
        ("300 M", 3e8),
        ("7_000_000", 7e6),
        ("7,000,000", 7e6),
        ("2k", 2e3),
        ("1e9", 1e9),
        ("0.5T", 5e11),
    ],
)
def test_a_written_count_is_a_number(written: str, count: float) -> None:
    table = GOOD.astype(object)
    table.loc[0, "N"] = written
    assert runs_for(table, INPUTS).columns["N"].iloc[0] == pytest.approx(count)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs.tsv", "N\tD\tL\n1e8\t1e9\t3.2\n1e9\t2e9\t2.9\n"),
        ("runs.csv", "N;D;L\n1e8;1e9;3,2\n1e9;2e9;2,9\n"),
        ("RUNS.CSV", "N,D,L\n1e8,1e9,3.2\n1e9,2e9,2.9\n"),
        ("bom.csv", "\ufeffN,D,L\n1e8,1e9,3.2\n1e9,2e9,2.9\n"),
        ("quoted.csv", '"N","D","L"\n"100,000,000",1e9,3.2\n1B,2e9,2.9\n'),
    ],
)
def test_tables_as_people_have_them_are_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = runs_for(read_table(tmp_path / name), ("N", "D")).columns
    assert found.to_numpy().tolist() == [[1e8, 1e9, 3.2], [1e9, 2e9, 2.9]]


@pytest.mark.parametrize("text", ["N,L\n1e8,3\n1e9,2\n", '{"N": 1e8, "L": 3}\n{"N": 1e9, "L": 2}\n'])
def test_a_table_comes_through_standard_input(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert runs_for(read_table("-"), ("N",)).columns["L"].tolist() == [3, 2]


def test_incomplete_rows_are_left_out_if_asked_and_rows_keep_their_numbers() -> None:
    table = pd.concat([GOOD, GOOD]).reset_index(drop=True).astype(object)
    table.loc[1, "L"], table.loc[3, "S"] = np.nan, 1.0
    complete, skipped = without_incomplete(table, INPUTS)
    assert (len(complete), list(skipped)) == (4, [1, 3])
    complete.loc[4, "N"] = -1
    with pytest.raises(InputError, match="row 5, column 'N'"):
        runs_for(complete, INPUTS)


BROKEN = {"a.csv": b"", "b.csv": b"N,L\n", "c.jsonl": b"{not json\n", "d.parquet": b"x", "e.csv": b"\xff\xfe\n"}


def test_a_file_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    for name, content in BROKEN.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_table(tmp_path / name)
    whole = gzip.compress(GOOD.to_csv().encode(), mtime=0)
    for name, content in {"cut": whole[:-20], "damaged": whole[:20] + b"\xff\xff\xff" + whole[23:]}.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.csv\.gz: is not a csv table"):
            read_table(tmp_path / f"{name}.csv.gz")
    with pytest.raises(InputError, match="has to end in"):
        read_table(tmp_path / "a.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"N,L,N\n1,2,3\n", "the column 'N' is there twice"),
        ("a.tsv", b'"N, all"\tL\t"N, all"\n1\t2\t3\n', "the column 'N, all' is there twice"),
        ("a.csv", b"N,D,L\n1,2,3\n1,2,3,4\n", "row 2 has 4 cells, and the header 3"),
        ("a.csv", b"N,D\n1,2,3\n4,5,6\n", "row 1 has 3 cells, and the header 2"),
        ("a.jsonl", b'{"a": {"b": 1}, "a.b": 2}\n', "line 1: 'a.b' is there twice"),
        ("a.jsonl", b'{"N": 1}\n[1, 2]\n', "line 2 is not a mapping"),
        ("a.jsonl", b'{"N": 1}\n3\n', "line 2 is not a mapping"),
        ("a.jsonl", b'{"N": 1, "N": 2}\n', "line 1: 'N' is given twice"),
        ("a.jsonl", b'{"N": ' + b"[" * 100_000, "line 1: .*nested too deeply"),
        ("a.jsonl", b'{"N": "\\ud800"}', "line 1: .*surrogates not allowed"),
    ],
)
def test_a_table_that_would_lose_something_is_refused(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.{name[2:]}: is not a {name[2:]} table \({says}"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("values", [[True] * 3, pd.to_datetime(["2026-11-24"] * 3), pd.to_timedelta([1, 2, 3], "D")])
def test_truth_values_and_dates_are_not_numbers(values: object) -> None:
    with pytest.raises(InputError, match=r"row 1, column 'L': .* is not a number"):
        runs_for(GOOD.assign(L=values), INPUTS)


def test_many_names_are_compared_once_each() -> None:
    """Comparing each with each would take minutes."""
    names = [f"n{number}" for number in range(300_000)]
    assert repeated(names) is None
    assert repeated([*names, "n299999"]) == "n299999"


def test_a_number_that_is_missing_in_json_lines_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"N": 1, "L": NaN}\n\n{"N": null, "L": 2}\n')
    assert read_table(tmp_path / "a.jsonl").isna().to_numpy().tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
def test_a_table_without_end_is_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / name, "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(InputError, match="is larger than 256 MiB"):
        read_table(tmp_path / name)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="has to be a regular file"):
        read_table(tmp_path / name)


def test_a_table_that_unpacks_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "LARGEST_TABLE", 10_000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"N,L\n" + b"1,1\n" * 100_000))
    with pytest.raises(InputError, match="unpacked it is larger than"):
        read_table(tmp_path / "a.csv.gz")
    monkeypatch.setattr(table_files, "MOST_CELLS", 1_000)
    pd.DataFrame({"N": np.zeros(10_000)}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="more than 1,000 cells"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("value", [1e200, 1e-200, 2e30])
def test_numbers_whose_squares_overflow_are_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"has to be positive, from 1e-30 to 1e\+30"):
        runs_for(GOOD.assign(L=value), INPUTS)
