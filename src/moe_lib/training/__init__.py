"""From a configuration and a corpus to a trained model and its row; never chooses what to train."""

from moe_lib.training.folder import load_run, save_run
from moe_lib.training.loop import Plan, Progress, Trained, plan, train
from moe_lib.training.run import execute

__all__ = ["Plan", "Progress", "Trained", "execute", "load_run", "plan", "save_run", "train"]
