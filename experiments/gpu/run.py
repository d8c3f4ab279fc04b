"""Everything that waits for a GPU, in one command and within a deadline: `python3 run.py --out OUT --deadline 540`.

It needs torch and what `bundle.py` carried along; no network and no pip. README.md describes the report.
"""

import argparse
import os
import platform
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
if (HERE.parent / "site").is_dir():  # carried by bundle.py
    sys.path.insert(0, str(HERE.parent / "site"))
    os.environ.setdefault("MOE_LIB_DATA", str(HERE.parent / "data"))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent / "site"), str(HERE)])  # for the workers
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the library is first used


def main() -> int:
    """Run the stages; 0 if all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for report and ledgers")
    parser.add_argument("--deadline", type=float, default=540.0, help="seconds that the command may take")
    parser.add_argument("--work", type=Path, default=Path("gpu-work"), help="folder for checkpoints")
    parser.add_argument("--sweep", type=Path, default=HERE / "grid.yaml")
    parser.add_argument("--workers", type=int, default=3, help="runs that share the GPU")
    parser.add_argument("--rehearse", metavar="CORPUS", help="the tiny grid on this corpus, on the CPU")
    parser.add_argument("--stages", nargs="+", help="only these stages; the others are reported as not asked for")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE))
    import torch
    from report import Report

    from moe_lib.model.backends import name_of

    _unpack(HERE.parent / "data")
    device = torch.device("cpu" if arguments.rehearse else "cuda")
    found = device.type == "cpu" or torch.cuda.is_available()
    about = {
        "rehearsal": bool(arguments.rehearse),
        "device": name_of(device) if found else None,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.out / "report.json", about, arguments.deadline)
    if not found:
        for entry in report.content["stages"].values():
            entry["why"] = "torch finds no CUDA device here"
        report.write()
        print("run.py: torch finds no CUDA device here; the report says that nothing ran", file=sys.stderr)
        return 1
    stages(report, device, arguments)
    return int(any(entry["status"] != "passed" for entry in report.content["stages"].values()))


def stages(report, device, arguments) -> None:  # type: ignore[no-untyped-def]
    """Every stage in order."""
    import checks
    import grid
    from speed import speed

    from moe_lib.config import read_yaml
    from moe_lib.data import open_corpus
    from moe_lib.errors import show_notices_plainly
    from moe_lib.sweeps import SweepConfig

    show_notices_plainly()
    fields = read_yaml(HERE / "rehearsal.yaml" if arguments.rehearse else arguments.sweep)
    if arguments.rehearse:
        fields["base"]["corpus"] = arguments.rehearse
    sweep = SweepConfig(**fields)
    example = sweep.runs("tuning")[0]
    corpus = open_corpus(example.corpus, example.model.vocab_size)
    small = bool(arguments.rehearse)
    clock = grid.Clock(flops_per_second=1e9 if small else 2e13)
    ledger = arguments.out / "ledger.jsonl"
    best: list[float] | None = None

    def train_all(runs, ledger):  # type: ignore[no-untyped-def]
        return grid.train_all(runs, ledger, arguments.work, report.left, clock, arguments.workers)

    def tuning():  # type: ignore[no-untyped-def]
        nonlocal best
        result = grid.tuned(sweep, ledger, train_all, small)
        best = result["best"]
        return best is not None, result

    def the_grid():  # type: ignore[no-untyped-def]
        result = train_all(grid.grid_runs(sweep, best), ledger)
        n_left = result["n_runs"] - result["n_before"] - result["n_done"]
        return not n_left, result | ({"why": f"{n_left} of {result['n_runs']} runs have not ended"} if n_left else {})

    def run(name, stage):  # type: ignore[no-untyped-def]
        if arguments.stages and name not in arguments.stages:
            report.content["stages"][name]["why"] = "it was not asked for"
            return report.write()
        report.run(name, stage, 0.0 if small else None)  # a rehearsal forecasts nothing

    run("exactness", lambda: checks.exactness(device))
    run("parity", lambda: checks.parity(example, corpus, device))
    run("resumption", lambda: checks.resumption(example, corpus, device))
    run("speed", lambda: speed(device, small))
    run("tuning", tuning)
    run("grid", the_grid)


def _unpack(data: Path) -> None:
    """Unpack the corpora that bundle.py compressed."""
    for archive in (data / "corpora").glob("*.tar.xz"):
        with tarfile.open(archive) as content:
            content.extractall(data / "corpora", filter="data")
        archive.unlink()


if __name__ == "__main__":
    sys.exit(main())
