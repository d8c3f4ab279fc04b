"""The claims board: for every checkable statement of the paper, a verdict that follows from its evidence.

`book/claims.yml` names for each claim the function that judges it; `board` calls these functions. Each looks at up to
three voices: the paper's text, its printed law, and our runs.
"""

from moe_lib.claims.board import Judged, board, counts
from moe_lib.claims.evidence import Evidence
from moe_lib.claims.finding import VERDICTS, Verdict

__all__ = ["VERDICTS", "Evidence", "Judged", "Verdict", "board", "counts"]
