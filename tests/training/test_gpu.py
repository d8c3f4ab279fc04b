"""Training on a CUDA device: `make gpu` if there is one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.evaluation import evaluate
from moe_lib.model import build_model, megablocks
from moe_lib.training import Progress, execute, train
from moe_lib.training.steps import DeviceSteps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none"),
]


class Killed(Exception):
    """Stands in for a kill."""


def on(run: RunConfig, device: str, **training: object) -> RunConfig:
    return run.with_(training=run.training.with_(device=device, **training))


@pytest.fixture
def wide_run(small_run: RunConfig) -> RunConfig:
    """Widths that grouped products on CUDA take."""
    model = small_run.model.with_(d_model=64, n_heads=2)
    return small_run.with_(model=model, training=small_run.training.with_(flops=3e9))


@pytest.mark.parametrize("backend", ["loop", "grouped_mm"])
def test_a_run_trains_there_as_on_the_cpu(backend: str, wide_run: RunConfig, small_corpus: TokenCorpus) -> None:
    there = train(on(wide_run, "cuda"), small_corpus, backend=backend)
    assert all(weight.is_cuda for weight in there.model.parameters())
    here = train(wide_run, small_corpus, backend=backend)
    torch.testing.assert_close(there.losses, here.losses, rtol=1e-3, atol=1e-3)


def test_a_bfloat16_run_learns_there_what_it_learns_on_the_cpu(wide_run: RunConfig, small_corpus: TokenCorpus) -> None:
    there = train(on(wide_run, "cuda", precision="bfloat16"), small_corpus, backend="grouped_mm")
    here = train(on(wide_run, "cpu", precision="bfloat16"), small_corpus, backend="grouped_mm")
    torch.testing.assert_close(there.losses, here.losses, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_run_resumes_there_bit_identical(
    precision: str, wide_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceSteps, "at_once", 5)

    def kill(progress: Progress) -> None:
        if progress.step > 8:
            raise Killed

    run = on(wide_run, "cuda", precision=precision)
    undisturbed = train(run, small_corpus).losses
    with pytest.raises(Killed):
        train(run, small_corpus, tmp_path, seconds_between_checkpoints=0, on_step=kill)
    assert torch.equal(train(run, small_corpus, tmp_path).losses, undisturbed)


def test_replays_of_a_graph_are_the_steps_to_the_last_bit(
    wide_run: RunConfig, small_corpus: TokenCorpus, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    run = on(wide_run, "cuda", precision="bfloat16")
    captured = train(run, small_corpus).losses
    assert not [one for one in recwarn if "no CUDA graph" in str(one.message)]
    monkeypatch.setattr(DeviceSteps, "_capture", lambda self: None)
    assert torch.equal(train(run, small_corpus).losses, captured)


def test_a_step_there_waits_for_nothing(wide_run: RunConfig) -> None:
    model = build_model(wide_run.model, 0, "grouped_mm", precision="bfloat16").cuda()
    tokens: Tensor = torch.zeros(2, 128, dtype=torch.int64, device="cuda")
    for mode in ("default", "error"):  # the first step loads libraries
        torch.cuda.set_sync_debug_mode(mode)
        try:
            model(tokens, tokens).nll_BT.mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("backend", ["grouped_mm", "megablocks"])
def test_a_row_comes_out_of_it(backend: str, wide_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    if backend == "megablocks" and (problem := megablocks.why_not()):
        pytest.skip(problem)
    row = execute(on(wide_run, "cuda"), small_corpus, evaluate, tmp_path, backend=backend)
    expected = execute(wide_run, small_corpus, evaluate, backend="loop")
    assert row["loss"] == pytest.approx(expected["loss"], rel=0.02)
    assert row["device"] == torch.cuda.get_device_name()
