"""Training on a CUDA device: `make gpu` if there is one."""

from pathlib import Path

import pytest
import torch

from moe_lib.config import RunConfig
from moe_lib.data import TokenCorpus
from moe_lib.evaluation import evaluate
from moe_lib.model import megablocks
from moe_lib.training import Progress, execute, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none"),
]


class Killed(Exception):
    """Stands in for a kill."""


@pytest.fixture
def wide_run(small_run: RunConfig) -> RunConfig:
    """Widths that grouped products on CUDA take."""
    model = small_run.model.with_(d_model=64, n_heads=2)
    return small_run.with_(model=model, training=small_run.training.with_(flops=3e9))


def test_a_run_trains_there_as_on_the_cpu(wide_run: RunConfig, small_corpus: TokenCorpus) -> None:
    there = train(wide_run, small_corpus, backend="loop")
    assert all(weight.is_cuda for weight in there.model.parameters())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        here = train(wide_run, small_corpus, backend="loop")
    torch.testing.assert_close(there.losses, here.losses, rtol=1e-3, atol=1e-3)


def test_a_killed_run_resumes_there(wide_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.step == 5:
            raise Killed

    undisturbed = train(wide_run, small_corpus, backend="grouped_mm").losses
    with pytest.raises(Killed):
        train(wide_run, small_corpus, tmp_path, backend="grouped_mm", seconds_between_checkpoints=0, on_step=kill)
    resumed = train(wide_run, small_corpus, tmp_path, backend="grouped_mm").losses
    assert torch.equal(resumed[:4], undisturbed[:4])
    torch.testing.assert_close(resumed, undisturbed, rtol=1e-3, atol=1e-3)  # atomic sums come in any order there


@pytest.mark.parametrize("backend", ["grouped_mm", "megablocks"])
def test_a_row_comes_out_of_it(backend: str, wide_run: RunConfig, small_corpus: TokenCorpus, tmp_path: Path) -> None:
    if backend == "megablocks" and (problem := megablocks.why_not()):
        pytest.skip(problem)
    row = execute(wide_run, small_corpus, evaluate, tmp_path, backend=backend)
    expected = execute(wide_run, small_corpus, evaluate, backend="loop")
    assert row["loss"] == pytest.approx(expected["loss"], rel=0.02)
