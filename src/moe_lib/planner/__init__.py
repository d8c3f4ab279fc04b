"""Plans what to train: from a budget, bounds on memory and data, and a serving volume to a model with its band."""

from moe_lib.planner.demand import Demand, Question
from moe_lib.planner.family import FAMILIES, OURS, PAPER, Family
from moe_lib.planner.hardware import Hardware
from moe_lib.planner.plan import Plan, plan, worths
from moe_lib.planner.run import run_config, write_run

__all__ = [
    "FAMILIES",
    "OURS",
    "PAPER",
    "Demand",
    "Family",
    "Hardware",
    "Plan",
    "Question",
    "plan",
    "run_config",
    "worths",
    "write_run",
]
