"""Measure everything and write docs/benchmarks.md: ``make bench``, about three minutes."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np

import kvring

from . import sections

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def commit() -> str:
    """The commit that is measured, marked if files have changed since."""
    command = ["git", "describe", "--always", "--dirty=, with changes"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def header() -> str:
    """What was measured, on what, and how."""
    cores = f"{sections.cores()} cores"
    return f"""# Benchmarks

Written by `make bench` on {time.strftime("%Y-%m-%d")}; do not edit by hand.

| | |
|---|---|
| machine | {processor()}, {cores}, {platform.system()} {platform.release().split("-")[0]} |
| versions | kvring {kvring.__version__} ({commit()}), Python {platform.python_version()}, \
NumPy {np.__version__}, Numba {numba.__version__} |

Contestants take turns in one process (A B, B A, ...); a ratio is the median of the ratios within
each round, so stretches in which the machine is slow fall on both sides alike. Times are medians,
for orientation; compare them only within a row. Garbage collection is off while measuring. Every
body is also run, untimed, by `make test`, which compares its results.
"""


def main() -> None:
    """Run all sections, with a line of progress for each, and write the page."""
    parts = [header()]
    for number, section in enumerate(sections.ALL, 1):
        title = (section.__doc__ or "").splitlines()[0]
        print(f"[{number}/{len(sections.ALL)}] {title}", file=sys.stderr, flush=True)
        parts.append(section())
    TARGET.write_text("\n".join(parts))
    print(f"wrote {TARGET.relative_to(Path.cwd())}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was written")
