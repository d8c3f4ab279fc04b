"""The scaling lab, an exercise that sells training runs for FLOPs, and a problem set that grades itself."""

from moe_lib.lab.problems import PROBLEMS, Mark, Problem, grade
from moe_lib.lab.service import BetScore, Lab, Query
from moe_lib.lab.solution import solve

__all__ = ["PROBLEMS", "BetScore", "Lab", "Mark", "Problem", "Query", "grade", "solve"]
