"""How much of a test to run: a quick selection, or (``make threads``) all of it."""

import os

import pytest

FULL = os.environ.get("KVRING_THREADS") == "full"
only_in_full = pytest.mark.skipif(not FULL, reason="takes long: make threads")


def either(quick: int, full: int) -> int:
    """The quick number or the full one."""
    return full if FULL else quick
