"""Which edition of the book a build is: commit, its date, hash of the ledger, and the versions that it rests on."""

import hashlib
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from moe_lib.machine import processor
from moe_lib.repository import LEDGER, ROOT

PACKAGES = ("numpy", "scipy", "pandas", "torch", "matplotlib", "Sphinx", "myst-nb")
DIGITS = 12  # of a hash, as shown


@dataclass(frozen=True)
class Edition:
    """What a page says of itself. Two builds of one commit have one edition, whenever they are made."""

    commit: str
    date: str  # of the commit, as 2026-11-24; empty outside of a git checkout
    ledger: str  # SHA-256

    @classmethod
    def of(cls, root: Path = ROOT, ledger: Path = LEDGER) -> "Edition":
        """The edition of a checkout; its commit says so if tracked files differ from it."""
        digest = hashlib.sha256(ledger.read_bytes()).hexdigest()
        commit, _, date = _git(root, "show", "-s", "--abbrev=12", "--format=%h %cs", "HEAD").partition(" ")
        changed = commit and _git(root, "status", "--porcelain", "--untracked-files=no")
        return cls(f"{commit} with changes" if changed else commit or "an unversioned copy", date, digest)

    def __str__(self) -> str:
        dated = f" of {self.date}" if self.date else ""
        return f"Edition {self.commit}{dated}, ledger {self.ledger[:DIGITS]}"


def machine() -> dict[str, str]:
    """What executes the chapters: system, processor, Python, and versions of packages."""
    system = {"system": f"{platform.system()} {platform.machine()}", "processor": processor()}
    return system | {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty if there is no git, or no commit here."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
