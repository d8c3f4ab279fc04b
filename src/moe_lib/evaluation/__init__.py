"""Evaluates trained models; nothing here trains."""

from moe_lib.evaluation.record import evaluate
from moe_lib.evaluation.scoring import LanguageModel
from moe_lib.evaluation.tasks import read_tasks, run_task
from moe_lib.evaluation.upstream import heldout_losses, upstream_loss

__all__ = ["LanguageModel", "evaluate", "heldout_losses", "read_tasks", "run_task", "upstream_loss"]
