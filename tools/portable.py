"""Checks that the numbers are the same on other machines, which this one imitates.

    python tools/portable.py             # all machines
    python tools/portable.py NAME ...    # some machines
    python tools/portable.py --list      # what each one checks, and whether this machine can imitate it

A machine that cannot be imitated here is skipped, with the reason. The exit code is 1 if one of the others fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import chapters
from moe_lib.machine import features
from moe_lib.native import library

TORCH_TESTS = ("tests/model", "tests/evaluation", "tests/training/test_optimizer.py")
KERNEL_TESTS = ("tests/native", "tests/model/test_native.py", "tests/model/test_precision.py")
BUILDS = "import sys; from moe_lib.native import why_not; sys.exit(why_not())"


@dataclass(frozen=True)
class Machine:
    """A check that has to hold on another machine, and what this machine needs to imitate that one."""

    what: str
    holds: Callable[[], bool]
    feature: str = ""  # of the processor, by its name in `moe_lib.machine`
    programs: tuple[tuple[str, str], ...] = ()  # each with its Debian package

    def missing(self) -> str:
        """Why the machine cannot be imitated here; empty if it can."""
        if self.feature and self.feature not in features():
            return f"this processor has no {self.feature}"
        packages = [package for program, package in self.programs if shutil.which(program) is None]
        return f"missing here; apt-get install {' '.join(packages)}" if packages else ""


def blas(kind: str) -> Callable[[], bool]:
    """Laws and chapters with OpenBLAS's kernels for one kind of processor; an empty kind leaves the choice to it."""
    return lambda: _run({"OPENBLAS_CORETYPE": kind}, _pytest("tests/laws"), ["tools/chapters.py", "verify"])


def torch(capability: str) -> Callable[[], bool]:
    """Models and their evaluation with PyTorch's kernels for older processors."""
    return lambda: _run({"ATEN_CPU_CAPABILITY": capability}, _pytest(*TORCH_TESTS))


def kernels(**environment: str) -> Callable[[], bool]:
    """Our kernels built by another compiler or for another processor."""
    return lambda: _run(environment, ["-c", BUILDS], _pytest(*KERNEL_TESTS))


def emulated(compiler: str, emulator: str) -> Callable[[], bool]:
    """Our kernels on an emulated processor: only the self-test, which needs neither Python nor PyTorch."""

    def holds() -> bool:
        flags = [flag for flag in library.FLAGS if flag not in ("-march=native", "-shared")]
        sources = [Path(library.__file__).parent / name for name in ("kernels.cpp", "selftest.cpp")]
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "selftest"
            if subprocess.run([compiler, *flags, "-static", "-DMAIN", *sources, "-o", program]).returncode:
                return False
            done = subprocess.run([emulator, program], stdout=subprocess.PIPE, text=True)
        said = done.stdout.strip() or f"none, exit code {done.returncode}"
        print(f"largest relative error of a kernel: {said}; allowed: {library.LARGEST_ERROR:g}")
        return done.returncode == 0 and float(said) <= library.LARGEST_ERROR

    return holds


def _pytest(*paths: str) -> list[str]:
    return ["-m", "pytest", "-m", "not browser and not soak", *paths]


def _run(environment: dict[str, str], *commands: list[str]) -> bool:
    """Whether this interpreter succeeds with every command under these variables; empty ones are unset."""
    env = {name: value for name, value in (os.environ | environment).items() if value}
    return all(
        subprocess.run([sys.executable, *command], cwd=chapters.ROOT, env=env).returncode == 0 for command in commands
    )


CROSS = (("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), ("qemu-aarch64", "qemu-user"))
LAWS = "laws and chapters with OpenBLAS's kernels for"
MODELS = "models and their evaluation with PyTorch's kernels"
MACHINES = {
    "blas": Machine(f"{LAWS} this processor", blas("")),
    "blas-haswell": Machine(f"{LAWS} Haswell", blas("Haswell"), "AVX2"),
    "blas-skylakex": Machine(f"{LAWS} Skylake-X", blas("SkylakeX"), "AVX-512"),
    "blas-zen": Machine(f"{LAWS} Zen", blas("Zen"), "AVX2"),
    "torch-default": Machine(f"{MODELS} for any processor", torch("default")),
    "torch-avx2": Machine(f"{MODELS} for AVX2", torch("avx2"), "AVX2"),
    "kernels-v3": Machine("our kernels built for x86-64-v3", kernels(MOE_LIB_CXXFLAGS="-march=x86-64-v3"), "AVX2"),
    "kernels-clang": Machine("our kernels built by Clang", kernels(CXX="clang++"), programs=(("clang++", "clang"),)),
    "kernels-aarch64": Machine(
        "self-test of our kernels on an emulated 64-bit Arm",
        emulated("aarch64-linux-gnu-g++", "qemu-aarch64"),
        programs=CROSS,
    ),
}


def main() -> int:
    """Read the command line, try the machines, and print a verdict for each."""
    parser = argparse.ArgumentParser(description="Laws, chapters, models and kernels as on other machines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(MACHINES)} (default: all)")
    parser.add_argument("--list", action="store_true", help="print what each machine checks, and run nothing")
    arguments = parser.parse_args()
    names = arguments.names or list(MACHINES)
    if unknown := [name for name in names if name not in MACHINES]:
        parser.error(f"{', '.join(unknown)}: has to be one of {', '.join(MACHINES)}")
    if arguments.list:
        for name in names:
            why = MACHINES[name].missing()
            print(f"{name:16} {MACHINES[name].what}{f'; {why}' if why else ''}")
        return 0
    verdicts = {}
    for name in names:
        if why := MACHINES[name].missing():
            verdicts[name] = f"skipped: {why}"
            continue
        print(f"== {name}", flush=True)
        start = os.times()
        word = "holds" if MACHINES[name].holds() else "FAILS"
        end = os.times()
        computed = end.children_user + end.children_system - start.children_user - start.children_system
        verdicts[name] = f"{word} ({end.elapsed - start.elapsed:.0f} s, {computed:.0f} s of them computing)"
    print(*(f"{name:16} {verdict}" for name, verdict in verdicts.items()), sep="\n")
    return int(any(verdict.startswith("FAILS") for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
