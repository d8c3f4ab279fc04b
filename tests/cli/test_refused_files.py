"""What the system refuses, and Ctrl-C: one sentence, a code, nothing half-written, and the run resumes afterwards."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from moe_lib.files import whole_file
from moe_lib.ledger import Ledger


def mounted(arguments: list[object]) -> None:
    """Mount something or skip: only root may, and not in every container."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount a file system, and the same is tested by a limit on the size of files")
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one checkpoint and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted(["-t", "tmpfs", "-o", "size=360k", "tmpfs", folder])
    yield folder
    unmount(folder)


def arguments(case, out: Path, ledger: Path) -> list[object]:
    return ["train", case.file, "--out", out, "--ledger", ledger]


OFTEN = ("--checkpoint-seconds", 0)


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_full_disk_ends_in_a_sentence_and_the_run_resumes_with_more_room(
    moe_here: Callable, case, small_disk: Path, tmp_path: Path
) -> None:
    out, ledger = small_disk / "out", tmp_path / "runs.jsonl"
    full = moe_here(*arguments(case, out, ledger), *OFTEN)
    assert full.returncode == 2
    assert full.stderr.startswith(f"moe-lib: {out}/step-")
    assert "No space left on device" in full.stderr
    assert full.stderr.count("\n") == 1
    assert not temporaries(out)
    assert not ledger.exists()
    assert list(out.glob("step-*.json"))
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert moe_here(*arguments(case, out, ledger)).returncode == 0
    assert case.is_what_stands(out, ledger)


@contextmanager
def file_limit(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: the kernel then writes a part and refuses the rest.

    The log of the tests is such a file too: nothing may be printed meanwhile.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_cannot_be_written_whole_leaves_nothing(moe_here: Callable, case, tmp_path: Path) -> None:
    out, ledger = tmp_path / "out", tmp_path / "runs.jsonl"
    with file_limit(20_000):
        stopped = moe_here(*arguments(case, out, ledger), *OFTEN)
    assert stopped.returncode == 2
    assert "File too large" in stopped.stderr
    assert stopped.stderr.count("\n") == 1
    assert sorted(path.name for path in out.iterdir()) == ["lock", "run.json"]
    assert moe_here(*arguments(case, out, ledger)).returncode == 0
    assert case.is_what_stands(out, ledger)


def test_a_row_that_the_disk_takes_in_part_does_not_count(make_row: Callable, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs.jsonl")
    ledger.append(make_row(0))
    before = ledger.path.read_bytes()
    with pytest.raises(OSError, match=r"File too large.*runs\.jsonl"), file_limit(len(before) + 100):
        ledger.append(make_row(1, text="long" * 100))
    assert ledger.path.read_bytes() == before


def read_only_folder(folder: Path) -> None:
    """Make a folder read-only for everybody, root as well."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        return
    mounted(["--bind", folder, folder])
    mounted(["-o", "remount,bind,ro", folder])


@pytest.mark.parametrize("what", ["--out", "--ledger"])
def test_a_read_only_folder_is_named_before_anything_is_trained(
    what: str, moe_here: Callable, case, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    read_only_folder(folder)
    places = {"--out": tmp_path / "out", "--ledger": tmp_path / "runs.jsonl"} | {what: folder / "new"}
    try:
        refused = moe_here("train", case.file, *(part for place in places.items() for part in place))
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"moe-lib: {folder}")
        assert "Read-only file system" in refused.stderr or "Permission denied" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert "loss" not in refused.stdout
        assert not any(tmp_path.glob("out/step-*"))
    finally:
        if os.geteuid() == 0:
            unmount(folder)


def test_a_current_folder_that_was_removed_is_a_sentence(case, tmp_path: Path) -> None:
    gone, out = tmp_path / "gone", case.file.parent / "out"
    program = "import os; os.rmdir(os.getcwd()); from moe_lib.cli import main; main()"
    for command in (["eval", out], ["export", out, tmp_path / "hf"]):
        gone.mkdir()
        arguments = [sys.executable, "-c", program, *map(str, command)]
        done = subprocess.run(arguments, cwd=gone, capture_output=True, text=True, check=False)
        sentence = "moe-lib: the current folder no longer exists; change to another one\n"
        assert (done.returncode, done.stderr) == (2, sentence)


def test_a_folder_below_a_file_is_named(moe_here: Callable, case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = moe_here(*arguments(case, tmp_path / "file" / "out", tmp_path / "runs.jsonl"))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "Not a directory" in refused.stderr


def test_an_error_of_writing_names_the_file_that_was_meant(tmp_path: Path) -> None:
    def full_disk() -> None:
        with whole_file(tmp_path / "meant"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device.*meant'$"):
        full_disk()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_run_ends_in_a_sentence_and_resumes(
    start: Callable, moe_here: Callable, case, tmp_path: Path
) -> None:
    out, ledger = tmp_path / "out", tmp_path / "runs.jsonl"
    process = start(*arguments(case, out, ledger), *OFTEN)
    while not any(out.glob("step-*.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "moe-lib: interrupted; repeat the same command to resume\n")
    assert not temporaries(out)
    assert not ledger.exists()
    assert moe_here(*arguments(case, out, ledger)).returncode == 0
    assert case.is_what_stands(out, ledger)


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_an_interrupted_sweep_ends_in_a_sentence_and_leaves_no_worker(start: Callable, case, tmp_path: Path) -> None:
    base = yaml.safe_load(case.file.read_text())
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"base": base, "grid": {"training.seed": [1, 2]}}))
    sweep = ["sweep", tmp_path / "sweep.yaml", "--ledger", tmp_path / "runs.jsonl", "--work", tmp_path / "work"]
    process = start(*sweep)
    while len(list(tmp_path.glob("work/*/run.json"))) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "moe-lib: interrupted; repeat the same command to resume\n")
    deadline = time.monotonic() + 20
    while is_alive(process.pid):
        assert time.monotonic() < deadline, "a worker outlives its sweep"
        time.sleep(0.05)


def test_a_folder_of_another_run_is_refused_and_left_as_it_was(moe_here: Callable, case, tmp_path: Path) -> None:
    other = yaml.safe_load(case.file.read_text())
    other["training"]["seed"] = 5
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    out = case.file.parent / "out"
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "lock"}
    refused = moe_here("train", tmp_path / "other.yaml", "--out", out, "--ledger", tmp_path / "runs.jsonl")
    assert refused.returncode == 2
    assert f"{out}: belongs to run {case.run.key}" in refused.stderr
    assert before == {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "lock"}


def test_a_refused_run_leaves_no_folder(moe_here: Callable, case, tmp_path: Path) -> None:
    greedy = yaml.safe_load(case.file.read_text())
    greedy["training"]["max_epochs"] = 1e-6
    (tmp_path / "greedy.yaml").write_text(yaml.safe_dump(greedy))
    ledger = tmp_path / "runs.jsonl"
    refused = moe_here("train", tmp_path / "greedy.yaml", "--out", tmp_path / "out", "--ledger", ledger)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "at most max_epochs = 1e-06 is allowed" in refused.stderr
    assert not (tmp_path / "out").exists()
    assert not ledger.exists()


def test_damaged_checkpoints_are_reported_in_sentences(moe_here: Callable, case, tmp_path: Path) -> None:
    out, ledger = tmp_path / "out", tmp_path / "runs.jsonl"
    shutil.copytree(case.file.parent / "out", out)
    [tensors] = out.glob("step-*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    again = moe_here(*arguments(case, out, ledger))
    assert again.returncode == 0
    assert again.stderr.splitlines() == [
        f"moe-lib: {tensors}: damaged checkpoint skipped (its digest does not match)",
        f"moe-lib: {out}: no checkpoint is whole; training starts anew",
    ]
    assert case.is_what_stands(out, ledger)
