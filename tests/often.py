"""How often tests repeat what they draw by chance.

One more seed finds something once in a while and costs its time at every run, so there are few by
default, and never fewer than a test needs to mean anything (`at_least`). ``KVRING_EXAMPLES`` is per
cent of that: 1000 gives ten times as many, for a search overnight; continuous integration, which
runs for every change, asks for 25, and the runs without jit and with checked ranges, which look at
kernels and not for histories, for 10.
"""

from __future__ import annotations

import os

PERCENT = int(os.environ.get("KVRING_EXAMPLES", "100"))


def often(by_default: int, *, at_least: int = 1) -> int:
    """So many repetitions, times ``KVRING_EXAMPLES`` per cent.

    `at_least` is for tests that must meet something rare to mean anything.
    """
    return max(by_default * PERCENT // 100, at_least)
