"""Fetch the public data that may not be kept in this repository, checked by hash (experiments/public/README.md)."""

import hashlib
import sys
import urllib.request
from pathlib import Path

from moe_lib.files import whole_file

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "experiments" / "public" / "epoch.csv"
SHA256 = "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30"
COMMIT = "92258837425e1b5f2851d624287f0120583a3d0e"
PLACES = (  # a copy beside the checkout, then the source
    (ROOT.parent / "shared/fitdata/epoch_chinchilla/svg_extracted_data.csv").as_uri(),
    f"https://raw.githubusercontent.com/epoch-research/analyzing-chinchilla/{COMMIT}/data/svg_extracted_data.csv",
)
SECONDS = 20  # for a server to answer


def is_the_file(content: bytes) -> bool:
    """Whether this is the file that the tests were written for."""
    return hashlib.sha256(content).hexdigest() == SHA256


def fetch(target: Path = TARGET, places: tuple[str, ...] = PLACES) -> str:
    """Fetch the file to `target` unless it is there; returns an empty string, or why it cannot be fetched."""
    if target.exists() and is_the_file(target.read_bytes()):
        return ""
    problems = []
    for place in places:
        try:
            with urllib.request.urlopen(place, timeout=SECONDS) as answer:
                content = answer.read()
        except OSError as error:
            problems.append(f"{place}: {error}")
            continue
        if is_the_file(content):
            with whole_file(target) as temporary:
                temporary.write_bytes(content)
            return ""
        problems.append(f"{place}: is not the file pinned by its hash")
    return "; ".join(problems)


if __name__ == "__main__":
    if problem := fetch():
        print(f"{TARGET.name} cannot be fetched, and the tests that need it are skipped ({problem})", file=sys.stderr)
