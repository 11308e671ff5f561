"""What was measured on, and in what state."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from typing import Any

from kvring.bench.machine import blas, cores, memory_gib, processor

LIBRARIES = (
    *("numpy", "numba", "torch", "transformers", "mlx-lm", "mlx", "onnxruntime"),
    *("dvg-ringbuffer", "ml_dtypes", "pytest-benchmark"),
)


def commit() -> str:
    """The commit that is measured, marked if files have changed since."""
    command = ["git", "describe", "--always", "--dirty=, with changes"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def facts() -> dict[str, Any]:
    """Everything as plain data, for the file that later runs are compared with."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": f"{processor()}, {cores()} cores, {memory_gib()}, {system}",
        "python": platform.python_version(),
        "kvring": importlib.metadata.version("kvring"),
        "versions": versions,
        "blas": blas(),
        "settings": {
            name: os.environ[name]
            for name in sorted(os.environ)
            if name.startswith(("OPENBLAS_", "OMP_", "MKL_", "NUMBA_"))
            and not name.endswith(("_DIR", "_PATH"))
        },
    }
