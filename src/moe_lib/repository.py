"""Every path into the checkout that this package is developed in; an installed wheel has none of these files."""

from pathlib import Path

from moe_lib.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
GRID = EXPERIMENTS / "grid.yaml"
RESULTS = EXPERIMENTS / "results"
LEDGER = RESULTS / "runs.jsonl"
CLAIMS = ROOT / "book" / "claims.yml"


def require(path: Path, needed_by: str) -> Path:
    """The path if it exists; the package may be installed without its repository.

    Otherwise `InputError`, whose sentence begins with `needed_by`.
    """
    if not path.exists():
        raise InputError(
            f"{needed_by} needs {path.relative_to(ROOT)} of the repository, which is missing; work in a checkout of it"
        )
    return path
