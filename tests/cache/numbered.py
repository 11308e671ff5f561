"""Caches whose batch rows are numbered, so that a test sees where a row comes from.

The key of position p in what was batch row b is 100 b + p, its value a half more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring import (
    FIFO,
    LRU,
    Append,
    Circular,
    HeavyHitter,
    KVCache,
    Replace,
)
from tests.beside import poison_slots

RING = Circular(3, 1, 2)
MODES = {
    "append": Append(12),
    "ring": RING,
    "replace": Replace(9),
    "FIFO": Append(6, eviction=FIFO(), sink_tokens=1),
    "LRU": Append(6, eviction=LRU()),
    "heavy hitters": Append(6, eviction=HeavyHitter(2)),
}


def made(strategy: Any = RING, batch: int = 4, tokens: int = 8, **arguments: Any) -> KVCache:
    """A cache of two layers whose batch rows are numbered, one token at a time."""
    cache = KVCache(
        **{"layers": 2, "kv_heads": 1, "head_dim": 1, **arguments}, batch=batch, strategy=strategy
    )
    for position in range(tokens):
        add(cache, position)
    return cache


def add(cache: KVCache, position: int, **options: Any) -> None:
    """One token for every layer; its rows say which position and batch row they have."""
    for layer in range(cache.layers):
        cache.update(layer, *numbered(cache, position), **options)


def numbered(cache: KVCache, position: int) -> tuple[np.ndarray, np.ndarray]:
    shape = (cache.batch, 1, cache.rings[0].kv_heads, cache.rings[0].head_dim)
    keys = np.zeros(shape, cache.dtype) + 100 * np.arange(cache.batch).reshape(-1, 1, 1, 1)
    keys = (keys + position).astype(cache.dtype)
    if cache.layout == "BHSD":
        keys = keys.transpose(0, 2, 1, 3)
    return keys, keys + cache.dtype.type(0.5)


def held(cache: KVCache, layer: int = 0) -> list[list[int]]:
    """What the newest token of each batch row sees, read off its keys."""
    poison_slots(cache)
    cache.check()
    keys, values = cache.read(layer)
    assert np.array_equal(values[..., 0], keys[..., 0] + 0.5), "K and V of different rows"
    token_major = keys if cache.layout == "BSHD" else keys.transpose(0, 2, 1, 3)
    return token_major[:, :, 0, 0].astype(int).tolist()  # type: ignore[no-any-return]


SEEN = [[0, 5, 6, 7], [100, 105, 106, 107], [200, 205, 206, 207], [300, 305, 306, 307]]
