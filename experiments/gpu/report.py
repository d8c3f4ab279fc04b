"""The report: what ran, what failed, and what did not run, written whole after every stage."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moe_lib.files import whole_file

STAGES = {  # name: what it shows, and the seconds that it is forecast to take on a GPU
    "exactness": ("each back end against float64", 60.0),
    "parity": ("losses of 200 steps beside the CPU's", 90.0),
    "resumption": ("a killed run ends bit-identical to an uninterrupted one", 60.0),
    "speed": ("tokens per second, utilisation and memory beside peers, at three sizes", 90.0),
    "tuning": ("rates and batch size of the grid", 120.0),
    "grid": ("the runs of the grid, as rows of a ledger", 30.0),
}

Stage = Callable[[], tuple[bool, dict[str, Any]]]  # whether it passed, and its results


class Report:
    """`report.json` of one call of the command; its fields are in README.md."""

    def __init__(self, path: Path, about: dict[str, Any], seconds: float) -> None:
        self.path, self.end = path, time.monotonic() + seconds
        stages = {
            name: {"shows": shows, "status": "not run", "why": "the command has not reached it", "results": {}}
            for name, (shows, _) in STAGES.items()
        }
        self.content: dict[str, Any] = about | {"deadline_seconds": seconds, "stages": stages}
        self.write()

    def left(self) -> float:
        """Seconds before the deadline."""
        return self.end - time.monotonic()

    def run(self, name: str, stage: Stage, forecast: float | None = None) -> None:
        """Run a stage unless it is forecast to end after the deadline; a failure is recorded, and the rest goes on."""
        entry, needed = self.content["stages"][name], STAGES[name][1] if forecast is None else forecast
        if self.left() < needed:
            entry["why"] = f"{max(0.0, self.left()):.0f} s were left, and it was forecast to take {needed:.0f} s"
            return self.write()
        began = time.monotonic()
        try:
            passed, results = stage()
            entry |= {"status": "passed" if passed else "failed", "results": results}
            entry["why"] = None if passed else results.pop("why", "a result is out of its bounds")
        except Exception as error:  # every stage has to leave the later ones their time
            entry |= {"status": "failed", "why": f"{type(error).__name__}: {str(error)[:500]}"}
        entry["seconds"] = round(time.monotonic() - began, 1)
        print(f"{name}: {entry['status']}{': ' + entry['why'] if entry['why'] else ''}", flush=True)
        self.write()

    def write(self) -> None:
        """Write the file whole."""
        with whole_file(self.path) as temporary:
            temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
