"""Fetch the public data that may not be kept in this repository, checked by hash (experiments/public/README.md)."""

import hashlib
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from moe_lib.files import whole_file

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = ROOT / "experiments" / "public"
SECONDS = 20  # for a server to answer


@dataclass(frozen=True)
class Pinned:
    """A file of others at one commit, with its SHA-256, and where a copy may be beside the checkout."""

    name: str
    sha256: str
    source: str
    copy: str

    @property
    def target(self) -> Path:
        """Where it goes."""
        return PUBLIC / self.name

    @property
    def places(self) -> tuple[str, ...]:
        """Where it may come from, in order."""
        return (ROOT.parent / "shared/fitdata" / self.copy).as_uri(), f"https://raw.githubusercontent.com/{self.source}"


FILES = (
    Pinned(
        "epoch.csv",
        "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
        "epoch-research/analyzing-chinchilla/92258837425e1b5f2851d624287f0120583a3d0e/data/svg_extracted_data.csv",
        "epoch_chinchilla/svg_extracted_data.csv",
    ),
    Pinned(
        "isoflops.csv",
        "b04d611253611490c5cc339fb95cb28d4f38f279a97438cb804a80f03171caa0",
        "Open-Athena/scaling-law-analysis/3e0656ee3dce1a2c89aa67691920f5eb9d30f0fc/data/isoflops/transform/isoflops.csv",
        "isoflop_public/isoflops.csv",
    ),
)


def fetch(target: Path, sha256: str, places: tuple[str, ...]) -> str:
    """Fetch a file to `target` unless it is there; returns an empty string, or why it cannot be fetched."""
    if target.exists() and _is_the_file(target.read_bytes(), sha256):
        return ""
    problems = []
    for place in places:
        try:
            with urllib.request.urlopen(place, timeout=SECONDS) as answer:
                content = answer.read()
        except OSError as error:
            problems.append(f"{place}: {error}")
            continue
        if _is_the_file(content, sha256):
            with whole_file(target) as temporary:
                temporary.write_bytes(content)
            return ""
        problems.append(f"{place}: is not the file pinned by its hash")
    return "; ".join(problems)


def _is_the_file(content: bytes, sha256: str) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256


if __name__ == "__main__":
    for file in FILES:
        if problem := fetch(file.target, file.sha256, file.places):
            print(f"{file.name} cannot be fetched; tests that need it are skipped ({problem})", file=sys.stderr)
