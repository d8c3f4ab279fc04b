"""A run's folder has one holder at a time, also while the holders before it remove it."""

import fcntl
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moe_lib.config import RunConfig
from moe_lib.training import own_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*another process is training here")


def test_two_that_open_and_remove_one_folder_in_a_loop_never_fail(small_run: RunConfig, tmp_path: Path) -> None:
    held: list[int] = []

    def hold(me: int) -> None:
        for _ in range(80):
            with own_folder(tmp_path / "run", small_run):
                held.append(me)
                assert held == [me]
                held.remove(me)
                shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(hold, range(3)))


def test_who_waited_for_a_folder_that_was_removed_holds_the_one_that_is_there(
    small_run: RunConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def wait() -> None:
        with own_folder(folder, small_run), open(folder / "lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with ThreadPoolExecutor(1) as pool:
        with own_folder(folder, small_run):
            waiting = pool.submit(wait)
            time.sleep(0.2)
            shutil.rmtree(folder)
        waiting.result()


def test_a_file_in_the_folders_place_is_refused(small_run: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(FileExistsError), own_folder(tmp_path / "run", small_run):
        pass
