"""Reading the bytes of K and V once, and nothing else: what memory allows, not a rival."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kvring.bench.attention_rival import AttentionSetup

__all__ = ["PlainRead"]


class PlainRead:
    """The largest byte of all, by NumPy's vectorized reduction: one load for each vector."""

    attends = False

    def __init__(self, setup: AttentionSetup) -> None:
        self._threads = setup.threads
        self._pool = ThreadPoolExecutor(setup.threads) if setup.threads > 1 else None

    def load(self, keys: Any, values: Any, query: Any) -> None:
        """All bytes, in as many equal parts as there are threads."""
        import numpy as np

        every = np.concatenate([rows.reshape(-1).view(np.int8) for rows in (keys, values)])
        self._parts = np.array_split(every, self._threads)

    def attend(self) -> Any:
        """One number for each part."""
        if self._pool is None:
            return self._parts[0].max()
        return list(self._pool.map(lambda part: part.max(), self._parts))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
