"""Building and loading the kernels.

They are built at their first use, by this machine's compiler (`$CXX`, or c++, g++, clang++) for its processor, into the
user's cache folder; `$MOE_LIB_CXXFLAGS` adds flags, for another processor or a debugger. The file's name has the digest
of sources, flags, compiler and processor, and its own digest: a change or damage leads to a new build, and any number
of processes load an existing one in a millisecond. A library that fails its self-test (`selftest.cpp`) is not kept, so
a machine on which the kernels would compute wrongly uses another back end.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from moe_lib.errors import InputError
from moe_lib.files import only_builder, sha256_of

FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-fPIC",
    "-shared",
)
DIGITS = 16  # of a digest, in names
FLAGS_X86 = ("-mprefer-vector-width=512",)
LARGEST_ERROR = 5e-6  # of the self-test, relative; float32 sums of these lengths stay below 1e-6


@cache
def why_not() -> str | None:
    """None if the kernels can run here, else the reason in words; builds them if they are missing."""
    try:
        library()
    except InputError as error:
        return str(error)
    return None


def wrong() -> str | None:
    """None if the kernels pass their self-test, run once more; else what is wrong, in words, even after a crash."""
    try:
        problem = _problem_of(built(_folder()))
    except (InputError, OSError) as error:
        return str(error)
    return problem and f"backend = 'native' {problem}"


def built(folder: Path) -> Path:
    """The kernels' library in `folder`, built if it is missing: whole or not at all, by one process at a time.

    Raises `InputError` if there is no compiler, if it fails, or if the library fails the self-test.
    """
    sources = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".h", ".cpp"))
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    parts = [text, *_flags(), os.environ.get("CXX", ""), _processor()]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
    if path := _whole(folder, digest):
        return path
    with only_builder(folder / digest) as scratch:
        if path := _whole(folder, digest):  # another process has just built it
            return path
        path = scratch / "kernels.so"
        _build(path)
        return path.replace(folder / f"{digest}-{sha256_of(path)[:DIGITS]}.so")


def _whole(folder: Path, digest: str) -> Path | None:
    """The library of some sources, with exactly the bytes that were built: their digest is the end of its name.

    Calling into a library that was cut short would end the process without a message.
    """
    for path in sorted(folder.glob(f"{digest}-*.so")):
        with suppress(InputError, OSError):
            if path.stem == f"{digest}-{sha256_of(path)[:DIGITS]}":
                return path
    return None


@cache
def library() -> ctypes.CDLL:
    """The kernels, built if they are missing. Raises `InputError` if they cannot be built."""
    try:
        return ctypes.CDLL(str(built(_folder())))
    except OSError as error:
        raise InputError(f"backend = 'native' cannot be built in {_folder()}: {error}") from None


def _folder() -> Path:
    return user_cache_path("moe-lib") / "native"


def _build(path: Path) -> None:
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "c++", "g++", "clang++"))), None)
    if compiler is None:
        raise InputError("backend = 'native' needs a C++ compiler, and found none of $CXX, c++, g++ and clang++")
    sources = [str(Path(__file__).parent / name) for name in ("kernels.cpp", "selftest.cpp")]
    done = _run(compiler, *_flags(), *sources, "-o", str(path))
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(f"backend = 'native' cannot be built by {compiler}: {lines[0]}")
    if problem := _problem_of(path):
        raise InputError(f"backend = 'native', as built by {compiler} for this processor, {problem}")


def _problem_of(library: Path) -> str | None:
    """What is wrong with a built library; it is tried in a separate process, since it might crash."""
    program = f"import ctypes; f = ctypes.CDLL({str(library)!r}).self_test; f.restype = ctypes.c_double; print(f())"
    done = _run(sys.executable, "-I", "-c", program)  # isolated: the environment's modules may print, too
    if done.returncode:
        return f"fails its self-test with exit code {done.returncode}"
    error = float(done.stdout)
    return None if error <= LARGEST_ERROR else f"computes wrongly: its self-test has a relative error of {error:.2g}"


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _flags() -> tuple[str, ...]:
    own = os.environ.get("MOE_LIB_CXXFLAGS", "").split()
    return (*FLAGS, *(FLAGS_X86 if platform.machine() in ("x86_64", "AMD64") else ()), *own)


def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [f"Features: {platform.platform()} {platform.processor()}"]
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
