"""Progress goes to the loggers' packages as they take it; stand-ins record what they were told."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from moe_lib.config import RunConfig
from moe_lib.errors import InputError
from moe_lib.training import Progress, loggers

ROW = {"status": "done", "loss": 3.5, "n_steps": 2}


class Recorder:
    """A writer of TensorBoard and a run of W&B in one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.told: list[Any] = []
        self.options, self.summary, self.closed = (arguments, options), {}, False

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.told.append((name, value, step))

    def log(self, values: dict[str, float], step: int) -> None:
        self.told += [(name, value, step) for name, value in values.items()]

    def close(self) -> None:
        self.closed = True

    finish = close


@pytest.mark.parametrize(
    ("name", "module", "constructor"),
    [("tensorboard", "torch.utils.tensorboard", "SummaryWriter"), ("wandb", "wandb", "init")],
)
def test_steps_and_results_arrive(
    name: str, module: str, constructor: str, small_run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = ModuleType(module)
    recorder = Recorder()
    setattr(stand_in, constructor, lambda *arguments, **options: recorder)
    monkeypatch.setitem(sys.modules, module, stand_in)
    monkeypatch.setattr(loggers, "require_extra", lambda extra, needed_by: None)
    logger = loggers.open_logger(name, small_run, tmp_path)
    logger.step(Progress(1, 2, 5.0, 100.0))
    logger.end(ROW)
    assert recorder.told[:2] == [("train/loss", 5.0, 1), ("train/tokens_per_second", 100.0, 1)]
    assert recorder.closed
    assert (recorder.told[2:], recorder.summary) in (
        ([("heldout/loss", 3.5, 2)], {}),
        ([], {"heldout/loss": 3.5}),
    )


def test_other_names_and_missing_packages_are_refused(
    small_run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="log = 'paper' has to be one of tensorboard, wandb"):
        loggers.open_logger("paper", small_run, tmp_path)
    monkeypatch.setattr("moe_lib.extras.find_spec", lambda name: None)
    with pytest.raises(InputError, match="log = 'wandb' needs wandb; install the extra `wandb`"):
        loggers.open_logger("wandb", small_run, tmp_path)
