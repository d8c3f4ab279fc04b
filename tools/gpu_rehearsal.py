"""Rehearse experiments/gpu on the CPU: bundle, a virtual environment without pip, no network, a tiny grid.

The environment sees this one's packages, but not those that the bundle has to carry. Its network is taken away with
`unshare`, if the system allows that; else the rehearsal says that the network was there.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GPU = ROOT / "experiments" / "gpu"
DEADLINE = 240.0  # seconds
CARRIED = ("annotated_types", "pandas", "platformdirs", "pydantic", "dateutil", "python_dateutil", "six", "typing_")
OWN = ("moe_lib", "__editable__", "_moe_lib", "_virtualenv")


def main() -> None:
    """Rehearse; a sentence and exit code 1 if a stage did not do what it has to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MOE_LIB_DATA"] = str(folder / "data")
        text = made_up_text(folder / "text")
        run = [
            sys.executable,
            str(GPU / "bundle.py"),
            str(folder / "bundle"),
            "--corpus",
            str(text),
            "--vocab-size",
            "300",
        ]
        subprocess.run([sys.executable, "-c", PREPARE, str(text)], check=True)
        subprocess.run(run, check=True)
        python = bare_environment(folder / "bare")
        shutil.rmtree(folder / "data")
        offline = ["unshare", "-rn"] if can_unshare() else []
        environment = {"PATH": os.environ["PATH"], "HOME": name, "OMP_NUM_THREADS": "1"}
        command = [*offline, str(python), "-B", str(folder / "bundle" / "gpu" / "run.py"), "--rehearse", str(text),
                   "--out", str(folder / "out"), "--work", str(folder / "work"), "--workers", "1",
                   "--deadline", str(DEADLINE)]  # fmt: skip
        code = subprocess.run(command, env=environment, cwd=folder, check=False).returncode
        report = json.loads((folder / "out" / "report.json").read_text())
        rows = [json.loads(line) for line in (folder / "out" / "ledger.jsonl").read_text().splitlines()]
        if len(sys.argv) > 1:
            shutil.copy(folder / "out" / "report.json", sys.argv[1])
        merge = [
            sys.executable,
            "-c",
            "from moe_lib.cli import main; main()",
            "ledger",
            "merge",
            str(folder / "out" / "ledger.jsonl"),
        ]
        merged = subprocess.run([*merge, "--out", str(folder / "merged.jsonl")], check=False).returncode
    problem = fault(report, rows, code, merged)
    if problem:
        sys.exit(f"gpu_rehearsal: {problem}")
    print("rehearsed" + ("" if offline else ", with the network on: this system does not allow it to be taken away"))


PREPARE = "import sys; from moe_lib.data import prepare; prepare(sys.argv[1], 300)"


def made_up_text(folder: Path) -> Path:
    """A folder of sentences that repeat."""
    folder.mkdir()
    rng = random.Random(0)
    for number in range(100):
        words = (f"{rng.choice(['Ada', 'Emmy', 'Sofia'])} counts {rng.randint(1, 99)} tokens. " for _ in range(60))
        (folder / f"{number}.txt").write_text("".join(words))
    return folder


def bare_environment(folder: Path) -> Path:
    """A virtual environment without pip; its packages are links to this one's, without those that are carried."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith((*CARRIED, *OWN)) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def can_unshare() -> bool:
    """Whether a process can be started without network here."""
    return bool(shutil.which("unshare")) and not subprocess.run(["unshare", "-rn", "true"], check=False).returncode


def fault(report: dict, rows: list, code: int, merged: int) -> str | None:  # type: ignore[type-arg]
    """What went wrong, or None. One run of the tiny grid is forecast to end after any deadline."""
    stages = report["stages"]
    bad = [
        f"{name}: {stage['why']}" for name, stage in stages.items() if name != "grid" and stage["status"] != "passed"
    ]
    if bad:
        return "; ".join(bad)
    grid = stages["grid"]["results"]
    n_tuning = stages["tuning"]["results"]["n_done"]
    if grid.get("n_done") != 2 or len(rows) != 2 + n_tuning or len(grid["not_started"]) != 1:
        return f"the grid has {len(rows)} rows, and its report is {stages['grid']}"
    if stages["grid"]["status"] != "failed" or code != 1:
        return "a grid of which a run did not start has to be reported as not complete, with exit code 1"
    return "the ledgers cannot be merged" if merged else None


if __name__ == "__main__":
    main()
