"""kvring's own attention, over a view of a cache."""

from __future__ import annotations

from typing import Any

from kvring.bench.attention_rival import AttentionSetup

__all__ = ["AttendInPlace"]


class AttendInPlace:
    """`attend` over an append cache in layout BHSD, which it reads fastest."""

    def __init__(self, setup: AttentionSetup) -> None:
        self._setup = setup

    def load(self, keys: Any, values: Any, query: Any) -> None:
        """One update stores all rows; `read` gives the view of one query."""
        from kvring import Append, KVCache, attend

        setup = self._setup
        self._attend = attend
        self._cache = KVCache(
            layers=1,
            kv_heads=setup.kv_heads,
            head_dim=setup.head_dim,
            dtype=setup.dtype,
            layout="BHSD",
            strategy=Append(setup.rows),
        )
        self._cache.update(0, keys.swapaxes(1, 2), values.swapaxes(1, 2))
        self._view = self._cache.read(0, order="physical")
        self._query = query.swapaxes(1, 2).copy()

    def attend(self) -> Any:
        """No copy of K or V."""
        return self._attend(self._query, self._view, threads=self._setup.threads)
