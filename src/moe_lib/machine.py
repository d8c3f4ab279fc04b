"""This machine's memory and the processor features that the kernels use."""

import os
import platform
from pathlib import Path

FEATURES = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 in bf16", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int:
    """Memory available to this process, in bytes: the machine's, or its container's limit if that is lower."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *filter(None, map(_limit, CGROUP_LIMITS))])


def _limit(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" means no limit


def processor() -> str:
    """The processor's name; the name of its architecture if the system reports nothing better."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def features() -> list[str]:
    """The `FEATURES` of the processor, by readable name; empty if the system does not report any."""
    cpuinfo = _cpuinfo()
    flags = f"{cpuinfo.get('flags', '')} {cpuinfo.get('Features', '')}".split()
    return [name for flag, name in FEATURES.items() if flag in flags]


def _cpuinfo() -> dict[str, str]:
    """Fields of the first processor in Linux's list."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
