"""Files that are written whole: a kill leaves a folder that the next writer removes, and no other is touched."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moe_lib.files import whole_file

WRITER = """
import sys, time
from pathlib import Path
from moe_lib.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


def half_written(path: Path) -> "subprocess.Popen[str]":
    """A process that is writing a file."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def write(path: Path, text: str = "whole") -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_writer_left_goes_with_the_next_write(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "fit[1].json"
    process = half_written(path)
    process.send_signal(number)
    process.communicate()
    write(tmp_path / "other.json")
    assert len(list(tmp_path.glob(".*"))) == 1  # that of fit[1].json
    write(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fit[1].json", "other.json"]


def test_a_writer_that_lives_is_not_disturbed_by_another(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    process = half_written(path)
    write(path)
    [scratch] = tmp_path.glob(".*")
    assert (scratch / "fit.json").read_text() == "half"
    process.kill()
    process.communicate()


def test_what_only_looks_like_a_leftover_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    (tmp_path / ".fit.json.1.tmp").symlink_to("mine")
    (tmp_path / ".fit.json.2.tmp").write_text("mine")
    (tmp_path / ".fitxjson.3.tmp").mkdir()
    before = sorted(tmp_path.rglob("*"))
    write(tmp_path / "fit.json")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "fit.json"])


def test_writers_of_one_file_never_meet(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write(path, str(number) * 1000), range(400)))
    assert len(set(path.read_text())) <= 3
    assert [file.name for file in tmp_path.iterdir()] == ["fit.json"]
