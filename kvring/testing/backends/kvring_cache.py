"""kvring's own cache, judged like any other."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...cache import KVCache
from ..observations import Rows
from ..setup import Setup

__all__ = ["KVRingBackend", "physical", "temporal"]

# Sides and dtypes stand here, not in the judge: what a cache can store is the cache's own affair.
SUPPORTS = {
    "dtypes": ("float32", "float16", "int8", "float64", "bfloat16", "float8_e4m3fn"),
    "layouts": ("BSHD", "BHSD"),
    "most_layers": 3,
    "head_dims": (8, 16),
    "empty_updates": True,
    "mixed_layers": True,
    "ragged": ("right", "left"),
    "evictions": ("fifo", "lru", "heavy_hitter"),
    "without": {},
}


class KVRingBackend:
    """A `KVCache` behind the adapter's methods.

    Parameters
    ----------
    cache : KVCache
        The cache under judgement.
    order : {"temporal", "physical"}
        In which order it is asked for its rows.
    check : bool
        Whether the cache goes through its own invariants before each look, which no user does.
    """

    supports: dict[str, Any] = SUPPORTS

    def __init__(self, cache: KVCache, order: str, *, check: bool = False) -> None:
        self.cache = cache
        self.order: Any = order
        self.check = check

    def update(self, layer: int, keys: Any, values: Any, **options: Any) -> Rows:
        """New rows, or what of them ``seq_len=`` or ``token_counts=`` say is new."""
        view = self.cache.update(layer, keys, values, order=self.order, **options)
        return self._shown(view)

    def read(self, layer: int) -> Rows:
        """What the newest token sees."""
        return self._shown(self.cache.read(layer, order=self.order))

    def truncate(self, seq_len: int | list[int]) -> None:
        """Drop the newest tokens, the same of all batch rows or so many of each."""
        self.cache.truncate(seq_len)

    def reset(self) -> None:
        """Forget everything."""
        self.cache.reset()

    def copy(self) -> KVRingBackend:
        """A cache of its own with the same rows."""
        return type(self)(self.cache.copy(), self.order, check=self.check)

    def reorder(self, batch_rows: list[int]) -> None:
        """Batch row i becomes what batch row ``batch_rows[i]`` was."""
        self.cache.reorder(batch_rows)

    def select(self, batch_rows: list[int]) -> None:
        """Keep these batch rows."""
        self.cache.select(batch_rows)

    def repeat(self, times: int) -> None:
        """Every batch row several times, side by side."""
        self.cache.repeat(times)

    def add_batch_rows(self, other: KVRingBackend) -> None:
        """Append the batch rows of another cache."""
        self.cache.add_batch_rows(other.cache)

    def resize(self, **numbers: int) -> None:
        """Other numbers of slots for what is there."""
        self.cache.resize(**numbers)

    def save_and_load(self) -> KVRingBackend:
        """What comes back of the cache from a file."""
        with TemporaryDirectory() as folder:
            path = os.path.join(folder, "cache.safetensors")
            self.cache.save(path)
            return type(self)(KVCache.load(path), self.order, check=self.check)

    def pin(self, positions: list[int]) -> None:
        """These may not give way any more."""
        self.cache.pin(positions)

    def unpin(self, positions: list[int]) -> None:
        """These may give way again."""
        self.cache.unpin(positions)

    def evict(self, positions: list[int]) -> None:
        """Drop these."""
        self.cache.evict(positions)

    def touch(self, layer: int, positions: list[int]) -> None:
        """These were attended to."""
        self.cache.touch(layer, positions)

    def observe(self, layer: int, weights: list[float]) -> None:
        """What the newest query gave to the rows that it sees, oldest first, in every head.

        A batch row that has fewer rows than others takes the last ones.
        """
        view = self.cache.read(layer, order=self.order)
        kv_heads = self.cache.config.layers[layer].kv_heads
        given = np.zeros((self.cache.batch, kv_heads, 1, view.row_count), np.float32)
        positions = np.broadcast_to(view.positions, (self.cache.batch, view.row_count))
        for batch_row, row in enumerate(positions):
            order = [n for n in np.argsort(row) if row[n] >= 0]
            mine = weights[len(weights) - len(order) :]
            given[batch_row, :, 0, order] = np.array(mine, np.float32)[:, None]
        self.cache.observe(view, given)

    def seq_len(self, layer: int) -> Any:
        """Tokens seen, per batch row."""
        return self.cache.seq_lens[layer]

    def next_position(self, layer: int) -> Any:
        """Positions are absolute: the next token's is the number of tokens seen."""
        return self.cache.seq_lens[layer]

    def _shown(self, view: Any) -> Rows:
        if self.check:
            self.cache.check()
        keys, values = view
        return Rows(keys, values, view.mask(), view.positions)


def temporal(setup: Setup, *, check: bool = False) -> KVRingBackend:
    """The cache as most people use it: rows oldest first."""
    return KVRingBackend(KVCache(**setup.arguments()), "temporal", check=check)


def physical(setup: Setup, *, check: bool = False) -> KVRingBackend:
    """The cache as a decode loop uses it: rows in slot order, dead slots masked."""
    return KVRingBackend(KVCache(**setup.arguments()), "physical", check=check)


temporal.supports = SUPPORTS  # type: ignore[attr-defined]
physical.supports = {**SUPPORTS, "row_order": "slots"}  # type: ignore[attr-defined]
