"""The evidence that claims are judged on: the printed law, and the runs of every recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from moe_lib.analysis.transitions import recipe_of
from moe_lib.claims.law_voice import LawVoice
from moe_lib.claims.our_runs import Runs, by_recipe
from moe_lib.laws.parametric import Law
from moe_lib.laws.published import ABNAR2025
from moe_lib.ledger import Ledger, Row, book_ledger
from moe_lib.repository import GRIDS, require
from moe_lib.sweeps import SweepConfig


@dataclass(frozen=True)
class Evidence:
    """A law, rows by the block of the sweep that asked for them, and how many runs each block asks for."""

    law: Law = ABNAR2025
    rows: dict[str, list[Row]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_the_book(cls, ledger: Ledger | None = None, sweeps: Sequence[Path] = (), law: Law = ABNAR2025) -> "Evidence":
        """The printed law, and the rows of a ledger (default: the book's) that sweeps (default: the grids) ask for."""
        by_key = {row["key"]: row for row in (ledger or book_ledger()).rows()}
        rows: dict[str, list[Row]] = {}
        asked: dict[str, int] = {}
        for path in sweeps or [require(grid, "the claims") for grid in GRIDS.values()]:
            sweep = SweepConfig.from_yaml(path)
            for name in dict.fromkeys(block.name for block in sweep.blocks):
                keys = [run.key for run in sweep.runs(name)]
                rows.setdefault(name, []).extend(by_key[key] for key in keys if key in by_key)
                asked[name] = asked.get(name, 0) + len(keys)
        return cls(law, rows, asked)

    @cached_property
    def voice(self) -> LawVoice:
        """The law."""
        return LawVoice(self.law)

    @cached_property
    def runs(self) -> list[Runs]:
        """Our runs, by recipe."""
        return by_recipe(self.rows, recipe_of)

    @cached_property
    def every_row(self) -> list[Row]:
        """All rows of all blocks, each once."""
        return list({row["key"]: row for own in self.rows.values() for row in own}.values())

    def done(self, *blocks: str) -> list[Row]:
        """The finished rows of some blocks that did not diverge."""
        return [row for name in blocks for row in self.rows.get(name, []) if row["status"] == "done"]

    def waiting(self, *blocks: str) -> str:
        """How far some blocks are, as half a sentence."""
        finished = sum(len(self.rows.get(name, [])) for name in blocks)
        return (
            f"{finished} of the {sum(self.asked.get(name, 0) for name in blocks)} runs of {', '.join(blocks)} are done"
        )
