"""Install the wheel of dist/ alone into fresh environments, and try it: ``make dist-check``.

Each environment is made by an interpreter found on this machine; one that is not there is skipped,
with the reason. Nothing but the wheel and what it asks for is installed, and programs run in an
empty folder, so that nothing of the checkout can be imported.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from .environment import Environment, interpreter
from .trials import TRIALS
from .wheel import check_contents, the_wheel

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# What setup.cfg promises at the least; the oldest Python is the one that still has them.
OLDEST = ("numpy==1.26.0", "numba==0.60.0")


def main() -> int:
    """Try every Python asked for; 1 if anything fails, or nothing could be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.packaging", description=__doc__)
    parser.add_argument("--pythons", nargs="+", default=list(PYTHONS), metavar="3.N")
    parser.add_argument("--one", action="store_true", help="only the first that is here")
    parser.add_argument("--oldest", action="store_true", help="oldest NumPy and Numba, too")
    options = parser.parse_args()
    wheel = the_wheel()
    print(check_contents(wheel))
    jobs = [(version, ()) for version in options.pythons]
    jobs += [(options.pythons[0], OLDEST)] if options.oldest else []
    tried, failed = 0, 0
    for version, pins in jobs:
        if options.one and tried:
            break
        named = " ".join([f"Python {version}", *pins])
        found = interpreter(version)
        if found is None:
            print(f"{named}: skipped, there is no python{version} on PATH or under pyenv")
            continue
        tried += 1
        failed += not _try(named, found, wheel, pins)
    print(f"{tried} tried, {failed} failed")
    return int(failed > 0 or tried == 0)


def _try(named: str, python: Path, wheel: Path, pins: tuple[str, ...]) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="kvring-dist-"))
    try:
        environment = Environment(folder, python)
        environment.install(wheel, *pins)
        print(f"{named}: {environment.versions()}")
        passed = True
        for trial in TRIALS:
            complaint = trial(environment)
            title = (trial.__doc__ or "").splitlines()[0].rstrip(".")
            print(f"  {'FAILED' if complaint else 'ok':6} {title}")
            if complaint:
                print("\n".join(f"         {line}" for line in complaint.splitlines()))
                passed = False
        return passed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
