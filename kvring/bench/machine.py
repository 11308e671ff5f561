"""What a benchmark runs on, as far as the system tells."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["blas", "cores", "memory_gib", "processor"]


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def memory_gib() -> str:
    """Memory of the machine."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return "unknown"


def blas() -> str:
    """The kernel that NumPy's matrix products use, if threadpoolctl is there to tell."""
    try:
        import threadpoolctl
    except ImportError:
        return "not known (no threadpoolctl)"
    import numpy  # noqa: F401  loads its BLAS

    found = [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]
    named = (f"{each['internal_api']} {each['version']}, {each['architecture']}" for each in found)
    return "; ".join(named) or "none"
