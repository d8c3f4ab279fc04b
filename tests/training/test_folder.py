"""A run's folder has one holder at a time, also while the holders before it remove it."""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.model import build_model
from moe_lib.training import checkpoint, load_run, own_folder, remove_run, require_outside, save_run
from moe_lib.training.folder import load_tokenizer

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
    with pytest.raises(NotADirectoryError), own_folder(tmp_path / "run", small_run):
        pass


FOREIGN = (
    *("step-3.txt", "step-00000001.json", "notes.tmp", ".notes.tmp", ".tmpx", "model.safetensors", "tokenizer.json"),
    *("lock", "run.json", ".git", "sweep", "digests.json"),
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_is_not_a_runs_is_refused_and_left_as_it_was(
    name: str, small_run: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="choose another"), own_folder(tmp_path, small_run):
        pass
    assert contents(tmp_path) == {name: b"mine"}


def test_what_a_user_puts_into_a_runs_folder_stays(small_run: RunConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with own_folder(run, small_run, of_sweep=True):
        pass
    mine = {name: b"mine" for name in ("step-3.txt", "step-notes.json", "notes.tmp", ".notes.tmp", ".tmpx", ".x.1.tmp")}
    for name, content in mine.items():
        (run / name).write_bytes(content)
    with own_folder(run, small_run, of_sweep=True):
        state = checkpoint.State(1, {"losses": torch.zeros(1)}, 0.0)
        for step in (1, 2, 3):
            checkpoint.save(run, "owner", replace(state, step=step))
        assert len(list(run.glob("step-0*"))) == 4
        remove_run(run)
    assert contents(run) == mine


def test_the_folder_of_a_sweeps_run_that_is_done_goes(small_run: RunConfig, tmp_path: Path) -> None:
    with own_folder(tmp_path / "run", small_run, of_sweep=True):
        remove_run(tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("made_by_sweep", [False, True])
def test_a_sweep_leaves_what_another_command_trained(
    made_by_sweep: bool, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    """`train --out WORK/KEY` in a folder of its own, or in one that a killed sweep left."""
    if made_by_sweep:
        with own_folder(tmp_path, small_run, of_sweep=True):
            pass
    with own_folder(tmp_path, small_run):
        save_run(tmp_path, small_run, build_model(small_run.model, seed=0), small_corpus)
    before = contents(tmp_path)
    with own_folder(tmp_path, small_run, of_sweep=True):
        remove_run(tmp_path)
    assert contents(tmp_path) == before


def test_a_kill_between_a_sweeps_mark_and_its_run_is_resumed_from(small_run: RunConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("lock", "sweep"):
        (run / name).touch()
    with own_folder(run, small_run, of_sweep=True):
        remove_run(run)
    assert not list(tmp_path.iterdir())


def test_a_rejected_run_leaves_no_folder(small_run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError), own_folder(tmp_path / "run", small_run, of_sweep=True):
        raise InputError("rejected")
    assert not list(tmp_path.iterdir())


def test_a_kill_before_the_first_file_is_resumed_from(small_run: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    (tmp_path / ".run.json.12.tmp").mkdir()
    (tmp_path / ".run.json.12.tmp" / "run.json").write_text("{")
    with own_folder(tmp_path, small_run):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "run.json"]


def test_what_was_trained_stays_a_runs_if_its_row_is_refused(small_run: RunConfig, tmp_path: Path) -> None:
    """The ledger may have become unreadable meanwhile: once it is mended, the run resumes."""
    run = tmp_path / "run"

    def train() -> None:
        with own_folder(run, small_run):
            checkpoint.save(run, "owner", checkpoint.State(1, {"losses": torch.zeros(1)}, 0.0))
            raise InputError("the last line is not a row")

    with pytest.raises(InputError, match="not a row"):
        train()
    assert sorted(path.name for path in run.iterdir())[:2] == ["lock", "run.json"]
    with own_folder(run, small_run):
        assert checkpoint.load_newest(run, "owner") is not None


@pytest.mark.parametrize("name", ["lock", "sweep", "run.json", "step-00000001.json", "digests.json"])
def test_a_ledger_may_not_take_a_name_that_a_runs_folder_needs(name: str, tmp_path: Path) -> None:
    """The lock in particular: a row would wait for ever for the lock that its own run holds."""
    (tmp_path / "link").symlink_to(tmp_path / "run" / name)
    for file in (tmp_path / "run" / name, tmp_path / "run" / ".." / "run" / name, tmp_path / "link"):
        with pytest.raises(InputError, match=r"ledger = .* is a name that the run's folder needs for itself"):
            require_outside(tmp_path / "run", file, "ledger")
    require_outside(tmp_path / "run", tmp_path / "run" / "runs.jsonl", "ledger")


@pytest.mark.parametrize("kind", ["pipe", "link", "file"])
def test_a_lock_that_is_not_a_runs_own_is_refused(kind: str, small_run: RunConfig, tmp_path: Path) -> None:
    """If it were a link to the ledger, the run would wait for itself when it writes its row."""
    run, lock = tmp_path / "run", tmp_path / "run" / "lock"
    with own_folder(run, small_run):
        lock.unlink()
    (tmp_path / "runs.jsonl").write_text("")
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "link":
        lock.symlink_to(tmp_path / "runs.jsonl")
    else:
        lock.write_text("mine")
    with pytest.raises(InputError, match="lock: has to be an empty file"), own_folder(run, small_run):
        pass


DEEP = "[" * 100_000
DAMAGED_RUNS = {"deep": DEEP, "empty": "", "list": "[1]", "twice": '{"corpus": "a", "corpus": "a"}', "none": "null"}


@pytest.mark.parametrize("damage", [*DAMAGED_RUNS, "huge", "pipe", "other"])
def test_a_damaged_run_json_is_a_sentence(damage: str, trained: Path, small_run: RunConfig) -> None:
    file = trained / "run.json"
    file.unlink()
    if damage == "pipe":
        os.mkfifo(file)
    elif damage == "huge":
        with open(file, "wb") as stream:
            stream.truncate(2**40)
    elif damage == "other":
        huge = small_run.with_(model=small_run.model.with_(d_model=2**30, n_layers=2**30, n_heads=1))
        file.write_text(huge.model_dump_json())
    else:
        file.write_text(DAMAGED_RUNS[damage])
    with pytest.raises(InputError, match=r"has a damaged run|does not match"):
        load_run(trained)
    with pytest.raises(InputError, match="choose another folder"), own_folder(trained, small_run):
        pass


@pytest.fixture
def trained(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> Path:
    """A run's folder, its weights those of the start."""
    save_run(tmp_path / "run", small_run, build_model(small_run.model, seed=0), small_corpus)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.to(torch.int64), "does not match run.json"),
        (lambda w: w.half(), "does not match run.json"),
        (lambda w: w[:-1], "does not match run.json"),
        (lambda w: w * float("nan"), "not finite"),
    ],
)
def test_weights_of_another_kind_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], sentence: str, trained: Path
) -> None:
    file = trained / "model.safetensors"
    (trained / "digests.json").unlink()  # as runs of earlier versions
    save_file({name: change(weight).contiguous() for name, weight in load_file(file).items()}, file)
    with pytest.raises(InputError, match=sentence):
        load_run(trained)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"model": null}', DEEP, '"\\ud800"', "\0"])
def test_a_damaged_tokenizer_is_a_sentence(text: str, trained: Path) -> None:
    (trained / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match=r"tokenizer\.json: is not a tokenizer"):
        load_tokenizer(trained)


def of_another_seed(folder: Path, run: RunConfig, corpus: TokenCorpus) -> Path:
    """The folder of the same run from another start."""
    save_run(folder, run, build_model(run.model, seed=1), corpus)
    return folder


def test_weights_of_another_run_are_refused(
    trained: Path, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    other = of_another_seed(tmp_path / "other", small_run, small_corpus)
    shutil.copy(other / "model.safetensors", trained)
    with pytest.raises(InputError, match=r"model\.safetensors does not match digests\.json"):
        load_run(trained)


@pytest.mark.parametrize("change", [{"n_heads": 1}, {"rope_base": 1e6}])
def test_a_configuration_that_was_edited_after_training_is_refused(
    change: dict[str, float], trained: Path, small_run: RunConfig
) -> None:
    """Neither changes a shape, so the weights still fit."""
    edited = small_run.with_(model=small_run.model.with_(**change))
    (trained / "run.json").write_text(edited.model_dump_json(indent=2))
    with pytest.raises(InputError, match=r"run\.json does not match digests\.json"):
        load_run(trained)
    (trained / "digests.json").unlink()
    assert load_run(trained)[0] == edited  # a run of an earlier version


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"corpus": "x", "files": 3}', '{"corpus": "x", "files": {}}'])
def test_damaged_digests_are_a_sentence(text: str, trained: Path) -> None:
    (trained / "digests.json").write_text(text)
    with pytest.raises(InputError, match=r"has a damaged run .*digests\.json"):
        load_run(trained)


def test_a_digest_that_is_not_a_text_is_a_sentence(trained: Path) -> None:
    digests = json.loads((trained / "digests.json").read_text())
    (trained / "digests.json").write_text(json.dumps(digests | {"corpus": 3}))
    with pytest.raises(InputError, match=r"digests\.json is not what training writes"):
        load_run(trained)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file_of_a_run_is_named(name: str, trained: Path) -> None:
    (trained / name).unlink()
    with pytest.raises(InputError, match=re.escape(f"{trained}: {name} is missing")):
        load_run(trained)
