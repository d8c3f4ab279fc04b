"""Every path into the checkout that this package is developed in; an installed wheel has none of these files."""

from pathlib import Path

from moe_lib.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
RESULTS = EXPERIMENTS / "results"
LEDGER = RESULTS / "runs.jsonl"
GRID = EXPERIMENTS / "grid.yaml"  # the sweep whose runs chapters, claims and the law `ours` rest on
GRIDS = {"landed": GRID}  # a sweep per recipe, that of GRID first; statements and claims are judged under each
OLD_GRID = EXPERIMENTS / "grid.yaml"  # the sweep of the first recipe, which only the tuning log shows
OLD_LEDGER = LEDGER  # and the ledger with its rows and those of its tuning
BOOK = ROOT / "book"
CLAIMS = BOOK / "claims.yml"


def require(path: Path, needed_by: str) -> Path:
    """The path if it exists; the package may be installed without its repository.

    Otherwise `InputError`, whose sentence begins with `needed_by`.
    """
    if not path.exists():
        raise InputError(
            f"{needed_by} needs {path.relative_to(ROOT)} of the repository, which is missing; work in a checkout of it"
        )
    return path
