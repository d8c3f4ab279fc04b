"""What this machine is: its memory, and the features of its processor that matter here."""

import os
import platform
from pathlib import Path

FEATURES = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 in bf16", "avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> int:
    """Memory that this process may have: the machine's, or the limit of its container where that is lower."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *filter(None, map(_limit, CGROUP_LIMITS))])


def _limit(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is none


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def features() -> list[str]:
    """Those of `FEATURES` that the processor has, by their names for people; empty where the system does not tell."""
    cpuinfo = _cpuinfo()
    flags = f"{cpuinfo.get('flags', '')} {cpuinfo.get('Features', '')}".split()
    return [name for flag, name in FEATURES.items() if flag in flags]


def _cpuinfo() -> dict[str, str]:
    """The first processor of Linux's list."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
