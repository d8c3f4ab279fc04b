"""Trains a configuration on a corpus and makes its ledger row; does not choose what to train."""

from moe_lib.training.folder import load_run, own_folder, remove_run, require_corpus, require_outside, save_run
from moe_lib.training.loop import Progress, Stopped, Trained, train
from moe_lib.training.run import execute

__all__ = [
    "Progress",
    "Stopped",
    "Trained",
    "execute",
    "load_run",
    "own_folder",
    "remove_run",
    "require_corpus",
    "require_outside",
    "save_run",
    "train",
]
