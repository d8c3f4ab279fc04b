"""The loop: exact, resumes bit-identical, and records a divergence."""

import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from moe_lib.budget import plan
from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.errors import InputError
from moe_lib.evaluation import evaluate
from moe_lib.ledger import Ledger
from moe_lib.training import Progress, Trained, checkpoint, execute, loop, train
from moe_lib.training.run import loss_curve


class Killed(Exception):
    """Stands in for a kill at a step boundary; tests/sweeps has real ones."""


def killed_at(step: int):
    def on_step(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return on_step


def train_with_kills(run: RunConfig, corpus: TokenCorpus, folder: Path, steps: list[int]) -> Trained:
    for step in steps:
        with pytest.raises(Killed):
            train(run, corpus, folder, seconds_between_checkpoints=0, on_step=killed_at(step))
    return train(run, corpus, folder, seconds_between_checkpoints=0)


def test_same_run_gives_the_same_losses_whatever_ran_before(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    first = train(small_run, small_corpus).losses
    torch.manual_seed(123)
    np.random.seed(5)  # noqa: NPY002
    train(small_run.with_(training=small_run.training.with_(seed=7)), small_corpus)
    assert torch.equal(train(small_run, small_corpus).losses, first)


@pytest.mark.parametrize("changes", [{}, {"muon_rate": 0.05, "output_init": 0.5}])
def test_a_killed_run_ends_as_an_undisturbed_one(
    changes: dict[str, float], small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    small_run = small_run.with_(training=small_run.training.with_(**changes))
    undisturbed = train(small_run, small_corpus)
    resumed = train_with_kills(small_run, small_corpus, tmp_path, [1, 5, 6, 12])
    assert torch.equal(resumed.losses, undisturbed.losses)
    assert torch.equal(resumed.looks, undisturbed.looks)
    assert torch.isfinite(resumed.looks).all()
    assert not list(tmp_path.glob(".*.tmp"))
    assert len(list(tmp_path.glob("step-*.json"))) == 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-1] + bytes([data[-1] ^ 1])]
)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(
    damage: object, small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    undisturbed = train(small_run, small_corpus).losses
    with pytest.raises(Killed):
        train(small_run, small_corpus, tmp_path, seconds_between_checkpoints=0, on_step=killed_at(8))
    newest = max(tmp_path.glob("step-*.safetensors"))
    newest.write_bytes(damage(newest.read_bytes()))  # type: ignore[operator]
    with pytest.warns(UserWarning, match="damaged checkpoint skipped"):
        resumed = train(small_run, small_corpus, tmp_path).losses
    assert torch.equal(resumed, undisturbed)


@pytest.fixture
def begun(small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> Path:
    """The folder of a run that was killed after its eighth step."""
    with pytest.raises(Killed):
        train(small_run, small_corpus, tmp_path, seconds_between_checkpoints=0, on_step=killed_at(8))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_flipped_bit_of_a_checkpoints_record_is_noticed(
    begun: Path, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    marker = max(begun.glob("step-*.json"))
    owner, content = json.loads(marker.read_text())["key"], marker.read_bytes()
    whole = checkpoint.load_newest(begun, owner)
    assert whole is not None
    for bit in range(0, 8 * len(content), 3):  # every place in a byte, in a third of the bytes
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        marker.write_bytes(flipped)
        with pytest.warns(UserWarning, match="damaged checkpoint skipped"):
            found = checkpoint.load_newest(begun, owner)
        assert found is not None
        assert found.step == whole.step - 1


def test_tokens_that_are_changed_during_a_run_end_it(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    root = shutil.copytree(small_corpus.root, tmp_path / "corpus")
    corpus = replace(small_corpus, root=root)

    def change(progress: Progress) -> None:
        with open(root / "train.bin", "r+b") as tokens:
            tokens.write(bytes(2))

    with pytest.raises(InputError, match=r"train\.bin: was changed while it was read"):
        execute(small_run, corpus, evaluate, tmp_path / "run", on_step=change)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_folder_with_the_name_of_a_checkpoints_record_stays(
    begun: Path, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    """It is not a checkpoint, however late its step."""
    for step in (1, 99):
        (begun / f"step-{step:08d}.json").mkdir()
    resumed = train(small_run, small_corpus, begun).losses
    assert torch.equal(resumed, train(small_run, small_corpus).losses)
    assert all((begun / f"step-{step:08d}.json").is_dir() for step in (1, 99))


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_skipped_checkpoint_is_named_by_the_file_that_is_damaged(suffix: str, begun: Path) -> None:
    marker = max(begun.glob("step-*.json"))
    owner, damaged = json.loads(marker.read_text())["key"], marker.with_suffix(f".{suffix}")
    damaged.unlink()
    os.mkfifo(damaged)
    sentence = re.escape(f"{damaged}: damaged checkpoint skipped (has to be a regular file)")
    with pytest.warns(UserWarning, match=f"^{sentence}$"):
        checkpoint.load_newest(begun, owner)


@pytest.mark.parametrize("change", [{"step": 1}, {"seconds": 1.0}, {"step": 7, "more": 0}])
def test_an_edited_checkpoint_is_skipped(change: dict[str, float], begun: Path) -> None:
    marker = max(begun.glob("step-*.json"))
    about = json.loads(marker.read_text())
    marker.write_text(json.dumps(about | change))
    with pytest.warns(UserWarning, match="damaged checkpoint skipped"):
        found = checkpoint.load_newest(begun, about["key"])
    assert found is not None
    assert found.step == about["step"] - 1


@pytest.mark.parametrize("names", [("step",), ("step", "key"), ("step", "sha256")])
def test_a_record_that_lacks_a_field_is_skipped(names: tuple[str, ...], begun: Path) -> None:
    marker = max(begun.glob("step-*.json"))
    about = json.loads(marker.read_text())
    marker.write_text(json.dumps({name: about[name] for name in names}))
    with pytest.warns(UserWarning, match="its record is not complete"):
        found = checkpoint.load_newest(begun, about["key"])
    assert found is not None
    assert found.step == about["step"] - 1


def test_a_checkpoint_under_another_steps_name_is_skipped(begun: Path) -> None:
    marker = max(begun.glob("step-*.json"))
    about = json.loads(marker.read_text())
    for path in (marker, marker.with_suffix(".safetensors")):
        shutil.copy(path, path.with_name(f"step-00000009{path.suffix}"))
    with pytest.warns(UserWarning, match="its name does not match its step"):
        found = checkpoint.load_newest(begun, about["key"])
    assert found is not None
    assert found.step == about["step"]


def test_checkpoints_of_another_run_are_refused_and_left_alone(
    begun: Path, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    before = contents(begun)
    other = small_run.with_(training=small_run.training.with_(seed=1))
    with pytest.raises(InputError, match=f"its checkpoints are of run {small_run.key}, and this is {other.key}"):
        train(other, small_corpus, begun)
    assert contents(begun) == before


def test_checkpoints_of_another_back_end_are_refused_and_left_alone(
    begun: Path, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    before = contents(begun)
    with pytest.raises(InputError, match=r"its checkpoints are of back end \w+, and this is loop, which would give"):
        train(small_run, small_corpus, begun, backend="loop")
    assert contents(begun) == before


def test_checkpoints_of_another_text_are_refused_and_left_alone(
    begun: Path, small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    before = contents(begun)
    rebuilt = replace(small_corpus, manifest=small_corpus.manifest.model_copy(update={"digest": "0" * 64}))
    with pytest.raises(InputError, match=r"its checkpoints are of corpus .*, and this is 0000000000000000"):
        train(small_run, rebuilt, begun)
    assert contents(begun) == before


def test_a_corpus_that_is_built_anew_during_a_run_does_not_end_it(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    root = tmp_path / "tokens"
    shutil.copytree(small_corpus.root, root)
    corpus = TokenCorpus(root, small_corpus.manifest).opened()

    def remove_tokens(progress: Progress) -> None:
        shutil.rmtree(root, ignore_errors=True)

    row = execute(small_run, corpus, evaluate, tmp_path / "out", on_step=remove_tokens)
    assert row["loss"] == execute(small_run, small_corpus, evaluate)["loss"]


def test_the_speed_is_that_of_the_whole_run_however_often_it_is_killed(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock))
    schedule = plan(small_run)

    def train_until(last: int) -> None:
        def on_step(progress: Progress) -> None:
            nonlocal clock
            clock += 2.0  # seconds per step
            if progress.step == last:
                raise Killed

        train(small_run, small_corpus, tmp_path, seconds_between_checkpoints=0, on_step=on_step)

    for step in (3, 9):
        with pytest.raises(Killed):
            train_until(step)
    train_until(schedule.n_steps + 1)
    row = execute(small_run, small_corpus, lambda *_: {}, tmp_path)  # as after a kill between checkpoint and row
    assert row["tokens_per_second"] == schedule.tokens_per_step / 2


@pytest.mark.parametrize("names", [("step", "key", "sha256"), ("step", "seconds", "key", "sha256")])
def test_a_checkpoint_of_an_earlier_version_is_resumed_and_the_speed_is_not_known(
    names: tuple[str, ...], small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    """It has no digest over its record, in which the seconds could have been changed."""
    undisturbed = train(small_run, small_corpus, tmp_path)
    [marker] = tmp_path.glob("step-*.json")
    about = json.loads(marker.read_text())
    marker.write_text(json.dumps({name: about[name] for name in names}))
    with pytest.warns(UserWarning, match="is of an earlier version; the run's speed will not be known"):
        row = execute(small_run, small_corpus, lambda *_: {}, tmp_path)
    assert row["tokens_per_second"] is None
    assert row["curve"] == loss_curve(undisturbed.losses.numpy())


def test_a_step_that_is_not_that_of_the_losses_is_noticed_without_a_digest(begun: Path) -> None:
    """As edited by hand: the step and the names, in the form of a version that had no digests."""
    marker = max(begun.glob("step-*.json"))
    about = json.loads(marker.read_text())
    marker.with_suffix(".safetensors").rename(begun / "step-00000099.safetensors")
    marker.rename(begun / "step-00000099.json")
    edited = {"step": 99, "key": about["key"], "sha256": about["sha256"]}
    (begun / "step-00000099.json").write_text(json.dumps(edited))
    with pytest.warns(UserWarning, match="damaged checkpoint skipped .its step does not match its losses"):
        found = checkpoint.load_newest(begun, about["key"])
    assert found is not None
    assert found.step == about["step"] - 1


def test_training_learns(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    longer = small_run.with_(training=small_run.training.with_(flops=3e9))
    losses = train(longer, small_corpus).losses
    assert losses[-10:].mean() < 0.6 * losses[0]


def test_an_exploding_loss_ends_the_run_as_diverged(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    wild = small_run.with_(training=small_run.training.with_(learning_rate=1e2, warmup_fraction=0.0))
    row = execute(wild, small_corpus, lambda model, corpus: {"loss": 0.0})
    assert row["status"] == "diverged"
    assert "loss" not in row
    assert len(row["curve"]["step"]) < row["n_steps"]


def test_a_held_out_loss_that_is_not_finite_is_a_divergence_with_a_row(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    row = execute(small_run, small_corpus, lambda *_: {"loss": math.nan, "loss_standard_error": math.inf})
    assert row["status"] == "diverged"
    assert "loss" not in row
    assert Ledger(tmp_path / "runs.jsonl").append(row)


def test_no_number_that_is_not_finite_costs_a_row(
    small_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path
) -> None:
    found = {"loss": 3.0, "loss_standard_error": 0.1, "probes": {"n": [1, math.nan], "x": (math.inf,)}}
    row = execute(small_run, small_corpus, lambda *_: found)
    assert row["probes"] == {"n": [1, None], "x": [None]}
    assert Ledger(tmp_path / "runs.jsonl").append(row)


def test_the_budget_is_spent_to_within_half_a_step(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    schedule = plan(small_run)
    assert abs(schedule.flops - 3e8) <= schedule.tokens_per_step * schedule.flops_per_token / 2


def test_more_tokens_than_the_corpus_has_are_refused(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    greedy = small_run.with_(training=small_run.training.with_(flops=1e12))
    with pytest.raises(InputError, match=r"training\.flops = 1e\+12 buys .* at most max_epochs = 1 is allowed"):
        train(greedy, small_corpus)


def test_a_corpus_read_more_often_since_fewer_facts_fit_than_were_asked_for_is_refused(
    small_run: RunConfig, small_corpus: TokenCorpus
) -> None:
    training = small_run.training.with_(flops=5e9, fact_share=0.5, max_epochs=0.6)  # room for less than two people
    run = small_run.with_(model=small_run.model.with_(context_length=256), training=training)
    assert plan(run).epochs(len(small_corpus.train)) < 0.5
    with pytest.raises(
        InputError, match=r"training\.flops = 5e\+09 buys .* 0\.67.* at most max_epochs = 0\.6 is allowed"
    ):
        train(run, small_corpus)


def test_a_vocabulary_that_is_too_small_is_refused(small_run: RunConfig, small_corpus: TokenCorpus) -> None:
    narrow = small_run.with_(model=small_run.model.with_(vocab_size=200))
    with pytest.raises(InputError, match=r"model\.vocab_size = 200 is smaller than the corpus's, 300"):
        train(narrow, small_corpus)


def test_the_curve_keeps_the_mean_of_all_losses() -> None:
    losses = np.linspace(5, 3, 1234).astype(np.float32)
    curve = loss_curve(losses)
    widths = np.diff([0, *curve["step"]])
    assert curve["step"][-1] == 1234
    assert np.average(curve["loss"], weights=widths) == pytest.approx(losses.mean(), abs=1e-4)
