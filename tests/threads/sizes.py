"""How much of a test to run: a quick selection, or (``make threads``) all of it.

Of what `make threads` does, ``KVRING_EXAMPLES`` below 100 leaves out the longest: interleavings
with a reading as third operation, and of facts beside surgery in two layers.
"""

import os

import pytest

from tests.often import PERCENT

FULL = os.environ.get("KVRING_THREADS") == "full"
only_in_full = pytest.mark.skipif(not FULL, reason="takes long: make threads")
only_in_whole = pytest.mark.skipif(
    not FULL or PERCENT < 100, reason="takes longest: make threads, without KVRING_EXAMPLES"
)


def either(quick: int, full: int) -> int:
    """The quick number or the full one."""
    return full if FULL else quick
