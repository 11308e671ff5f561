"""What is measured in a process of its own: memory, and the first use of a library.

``python -m kvring.bench.child memory NAME SETUP`` prints one number. NAME is
``package.module:factory``, SETUP the fields of a `Setup` as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from time import perf_counter

from .rival import Setup, UnsupportedError, load

__all__ = ["first_use", "main", "memory", "resident_bytes", "run_child"]

CHUNK, SINGLE_TOKENS = 990, 100
CANNOT = 3


def resident_bytes() -> int:
    """Bytes of this process that are in memory now, as Linux counts them."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(name: str, setup: Setup, tokens: int = 10_000) -> float:
    """Bytes that become resident while a cache takes so many tokens, the last ones one by one."""
    from .rows import Feed

    factory = load(name)
    Feed(factory(setup), setup).take(2)  # what a library loads once is not counted
    if not os.path.exists("/proc/self/statm"):
        raise UnsupportedError("resident memory is read from /proc")
    before = resident_bytes()
    feed = Feed(factory(setup), setup)
    for _ in range((tokens - SINGLE_TOKENS) // CHUNK):
        feed.take(CHUNK)
    while feed.seq_len < tokens:
        feed.take(1)
    return resident_bytes() - before


def first_use(name: str, setup: Setup) -> float:
    """Seconds from the first import of the rival's library, after NumPy, to the first update."""
    from .rows import Feed

    started = perf_counter()
    Feed(load(name)(setup), setup).take(1)
    return perf_counter() - started


def run_child(what: str, name: str, setup: Setup) -> float:
    """The number that a process of its own prints; UnsupportedError with its reason."""
    command = [sys.executable, "-m", f"{__package__}.child", what, name, json.dumps(asdict(setup))]
    paths = [path or os.getcwd() for path in sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == CANNOT:
        raise UnsupportedError(done.stdout.strip())
    if done.returncode:
        raise RuntimeError(f"{what} of {name} failed:\n{done.stderr}")
    return float(done.stdout)


def main(arguments: list[str]) -> int:
    """Print the number; exit code 3 with the reason where a rival cannot do it."""
    what, name, setup = arguments
    measured = {"memory": memory, "first use": first_use}[what]
    try:
        print(measured(name, Setup(**json.loads(setup))))
    except UnsupportedError as reason:
        print(reason)
        return CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
