"""Pin every package: its version in constraints.txt, and in requirements/ the SHA-256 of each of its files.

`all.txt` is what the extras train, book and dev need on Linux and macOS, without torch. `torch.txt` is torch from the
default index, on Linux with CUDA's libraries. `torch-cpu.txt` is the build without them, from a separate index that
$TORCH_CPU_INDEX names; without that variable the file is left as it is. `make setup` installs these files.
`olmo-core.txt` is what OLMo-core needs besides, and triton, for `make scale-test`; a few of its packages are older.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "requirements"
PYTHON = "3.11.5"  # the oldest that the pinned packages run on
OF_TORCH = re.compile(r"(torch|triton|nvidia-.*|cuda-.*)==")
TORCH = re.compile(r"(torch|nvidia-.*|cuda-.*)==")
CLASHING = ("filelock", "huggingface_hub", "rich")  # OLMo-core's cached-path wants older ones
MARKER = "python_full_version < '3.15' and (sys_platform == 'darwin' or sys_platform == 'linux')"  # everywhere
UV = ("uv", "pip", "compile", "-", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate")


def freeze() -> None:
    """Write the installed versions. A local build tag (torch's +cpu) is dropped: a pin has to fit every machine."""
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable", "--exclude", "uv"]
    frozen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (ROOT / "constraints.txt").write_text(re.sub(r"\+[a-z0-9]+$", "", frozen, flags=re.MULTILINE))


def compiled(requirements: str, *options: str) -> list[str]:
    """Requirements and their dependencies, each with the hashes of its files, as uv resolves them."""
    command = [sys.executable, "-m", *UV, "--python-version", PYTHON, *options]
    text = subprocess.run(command, input=requirements, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return re.split(r"\n(?=\S)", text.replace(f" ; {MARKER}", "").replace(f"{MARKER} and ", "").strip())


def everything() -> Iterator[str]:
    """What the three extras need, at the versions of constraints.txt."""
    yield from compiled(".[train,book,dev]\n", "--constraints", "constraints.txt", "--no-emit-package", "moe-lib")


def of_olmo_core(found: list[str]) -> Iterator[str]:
    """What OLMo-core and its kernels need and `found` lacks."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    kept = "\n".join(pin for pin in pins if pin.partition("==")[0] not in CLASHING)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        print(kept, file=file, flush=True)
        needed = compiled("ai2-olmo-core>=3,<4\ntriton; sys_platform == 'linux'\n", "--constraints", file.name)
    own = [one for one in found if not one.startswith("triton==")]
    yield from (one for one in needed if one not in own and not TORCH.match(one))


def write(name: str, what: str, requirements: list[str]) -> None:
    """Write a file of requirements, under a line that describes it."""
    (FOLDER / name).write_text("\n".join([f"# {what}; written by make pins", *requirements, ""]))


def main() -> None:
    """Write all pins anew."""
    freeze()
    found = list(everything())
    write("all.txt", "All but torch", [one for one in found if not OF_TORCH.match(one)])
    write("olmo-core.txt", "OLMo-core and triton, beside all.txt and torch", list(of_olmo_core(found)))
    write("torch.txt", "torch from the default index", [one for one in found if OF_TORCH.match(one)])
    version = next(one for one in found if one.startswith("torch==")).split("==")[1].split()[0]
    if index := os.environ.get("TORCH_CPU_INDEX"):
        only = compiled(f"torch=={version}+cpu\n", "--no-deps", "--default-index", index)
        write("torch-cpu.txt", "torch without CUDA, from the index of its CPU builds", only)
    elif f"torch=={version}+cpu" not in (FOLDER / "torch-cpu.txt").read_text():
        sys.exit(f"requirements/torch-cpu.txt is not for torch {version}: set TORCH_CPU_INDEX and run this again")


if __name__ == "__main__":
    main()
