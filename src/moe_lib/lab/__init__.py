"""The scaling lab: an exercise that sells training runs for FLOPs and scores a bet on a larger model."""

from moe_lib.lab.service import Lab, Query, Score
from moe_lib.lab.solution import solve

__all__ = ["Lab", "Query", "Score", "solve"]
