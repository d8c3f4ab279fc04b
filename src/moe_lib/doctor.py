"""What can run on this machine, and why the rest cannot."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from moe_lib import machine
from moe_lib.data.corpus import corpora_folder, data_root
from moe_lib.extras import EXTRAS, how_to_install, missing_from
from moe_lib.repository import EXPERIMENTS

SMALLEST_DISK = 1e9  # bytes; the reference corpus fills a quarter of it
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Finding:
    """One line of the table; `ok` is None if nothing depends on it by default."""

    what: str
    found: str
    ok: bool | None = None


def examine() -> Iterator[Finding]:
    """Every finding about this machine, cheap ones first; builds the native kernels if they are missing."""
    yield Finding("Python", platform.python_version())
    missing = missing_from("train")
    for name in EXTRAS["train"]:
        found = f"missing; in a checkout: {how_to_install('train')}" if name in missing else version(name)
        yield Finding(name, found, name not in missing)
    cores = f"{os.cpu_count()} cores"
    yield Finding("processor", ", ".join([machine.processor(), cores, *machine.features()]))
    yield Finding("memory", f"{machine.memory_bytes() / 1e9:.1f} GB")
    yield _disk(data_root())
    yield _corpora(corpora_folder())
    if "torch" not in missing:
        yield from _torch()
    yield Finding("Slurm", shutil.which("sbatch") or "no sbatch; moe-lib sweep trains on this machine")
    if not EXPERIMENTS.is_dir():  # the rest is for a checkout
        return
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield Finding("browser", browser or "neither chromium nor google-chrome; only make browser needs one")


def _disk(folder: Path) -> Finding:
    if os.path.lexists(folder) and not folder.is_dir():
        return Finding("data folder", f"{folder}: is not a folder; set MOE_LIB_DATA to another", False)
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        return Finding(
            "data folder", f"{folder}: cannot be written ({error.strerror}); set MOE_LIB_DATA to another folder", False
        )
    return Finding("data folder", f"{folder}, {free / 1e9:.1f} GB free", free >= SMALLEST_DISK)


def _corpora(folder: Path) -> Finding:
    names = sorted(path.stem for path in folder.glob("*.json"))
    return Finding("corpora", ", ".join(names) or "none yet; moe-lib train builds the embedded one")


def _torch() -> Iterator[Finding]:
    import torch

    from moe_lib.model.backends import NAMES, default_backend, problem_of
    from moe_lib.native import wrong

    yield Finding("threads", f"torch uses {torch.get_num_threads()}")
    has_cuda = torch.cuda.is_available()
    used = "runs with training.device: cuda use it"
    yield Finding("CUDA", f"{torch.cuda.get_device_name()}; {used}" if has_cuda else "no device; the CPU is used")
    problems = {name: problem_of(name) for name in NAMES}
    problems["native"] = problems["native"] or wrong()
    for name, problem in problems.items():
        default = ", the default" if problem is None and name == default_backend(torch.device("cpu")) else ""
        yield Finding(f"back end {name}", problem or f"can run here{default}")
