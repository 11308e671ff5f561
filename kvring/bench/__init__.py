"""Benchmarks that ship with kvring: cases, rivals, and the runner that compares them fairly.

Loaded by nothing else in kvring. As a pytest plugin it times your own cache beside kvring, from any
folder::

    pytest --benchmark-only --kvring-rival my_package.my_module:MyCache

`kvring.bench.rival` says what a rival is, with an example to copy. Each case is one operation in
one shape; its contestants are built, checked against each other's rows and then timed in turns.
"""

from __future__ import annotations

from .interleave import Contestant, Result, measure
from .rival import Rival, Setup, UnsupportedError

__all__ = ["Contestant", "Result", "Rival", "Setup", "UnsupportedError", "measure"]
