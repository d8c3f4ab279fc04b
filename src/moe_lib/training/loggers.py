"""Where a run's progress may go beside the screen: TensorBoard or Weights & Biases; nowhere by default."""

import importlib
from pathlib import Path
from typing import Any, Protocol

from moe_lib.config import RunConfig
from moe_lib.errors import InputError
from moe_lib.extras import require_extra
from moe_lib.ledger import Row
from moe_lib.training.loop import Progress


class Logger(Protocol):
    """Takes the progress of one run."""

    def step(self, progress: Progress) -> None:
        """Log a finished step."""

    def end(self, row: Row) -> None:
        """Log the results of the finished run."""


class TensorBoard:
    """Events under `tensorboard` in the run's folder."""

    def __init__(self, run: RunConfig, folder: Path) -> None:
        self.writer: Any = importlib.import_module("torch.utils.tensorboard").SummaryWriter(folder / "tensorboard")

    def step(self, progress: Progress) -> None:
        """Write the training loss and the speed."""
        for name, value in _values(progress).items():
            self.writer.add_scalar(name, value, progress.step)

    def end(self, row: Row) -> None:
        """Write the held-out loss."""
        if "loss" in row:
            self.writer.add_scalar("heldout/loss", row["loss"], row["n_steps"])
        self.writer.close()


class WeightsAndBiases:
    """A run of the project `moe-lib`; a resumed run continues its own."""

    def __init__(self, run: RunConfig, folder: Path) -> None:
        wandb: Any = importlib.import_module("wandb")
        self.run = wandb.init(project="moe-lib", id=run.key, resume="allow", dir=folder, config=run.model_dump())

    def step(self, progress: Progress) -> None:
        """Send the training loss and the speed."""
        self.run.log(_values(progress), step=progress.step)

    def end(self, row: Row) -> None:
        """Send the held-out loss."""
        if "loss" in row:
            self.run.summary["heldout/loss"] = row["loss"]
        self.run.finish()


LOGGERS: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def open_logger(name: str, run: RunConfig, folder: Path) -> Logger:
    """The logger of a name; `InputError` if it is unknown or its package is not installed."""
    if name not in LOGGERS:
        raise InputError(f"log = {name!r} has to be one of {', '.join(LOGGERS)}")
    require_extra(name, f"log = {name!r}")
    return LOGGERS[name](run, folder)


def _values(progress: Progress) -> dict[str, float]:
    return {"train/loss": progress.loss, "train/tokens_per_second": progress.tokens_per_second}
