"""Caches whose rows can be read: the key of a token is its position, its value 100 more."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring import KVCache, KVView
from tests.support import WORKED_EXAMPLE, Array, poison


def numbered(first: int, count: int) -> tuple[Array, Array]:
    """K and V of `count` tokens of one KV head of one element, from position `first` on."""
    keys = np.arange(first, first + count, dtype=np.float32).reshape(1, -1, 1, 1)
    return keys, keys + 100


def make(*modes: Any, **options: Any) -> KVCache:
    """A cache of one KV head of one element, with one layer per mode."""
    return KVCache(layers=len(modes), kv_heads=1, head_dim=1, strategy=modes, **options)


def feed(
    cache: KVCache, *chunks: int, first: int | None = None, order: Any = "temporal", layer: int = 0
) -> KVView:
    """Update one layer with these chunks; after each, check and poison all unused slots.

    Returns the view of the last chunk.
    """
    for count in chunks:
        start = int(cache.seq_lens[layer, 0]) if first is None else first
        view = cache.update(layer, *numbered(start, count), order=order)
        cache.check()
        poison(cache)
    return view


def worked(order: Any = "temporal") -> tuple[KVCache, KVView]:
    """The worked example of the contract: twelve tokens, one by one, and the view of the last."""
    cache = make(WORKED_EXAMPLE)
    return cache, feed(cache, *[1] * 12, order=order)


def numbers(array: Array) -> list[float]:
    """The elements, in the order of the axes."""
    listed: list[float] = array.ravel().tolist()
    return listed


def pieces(view: KVView) -> list[list[float]]:
    """The keys of each segment, once its values are known to be theirs."""
    for keys, values in view.segments:
        np.testing.assert_array_equal(values, keys + 100)
    return [numbers(keys) for keys, _ in view.segments]
