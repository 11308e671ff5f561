"""Caches whose rows are the numbers of their positions, so that a reader checks them by hand.

The key of position p is p and its value is p + 0.5, in float32, one head of one element. After each
step every slot without a resident row is filled with NaN, and the cache checks itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kvring import KVCache, KVView
from tests.support import poison


def make(strategy: Any, **arguments: Any) -> KVCache:
    """An empty cache of one layer, unless `layers` says otherwise."""
    defaults = {"layers": 1, "kv_heads": 1, "head_dim": 1}
    return KVCache(strategy=strategy, **(defaults | arguments))


def rows(start: int, stop: int, *, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """K and V of positions start .. stop - 1."""
    keys = np.arange(start, stop, dtype=np.float32).reshape(1, -1, 1, 1)
    return np.repeat(keys, batch, axis=0), np.repeat(keys + 0.5, batch, axis=0)


def feed(cache: KVCache, tokens: int, *, layer: int = 0, **arguments: Any) -> KVView:
    """Update one layer with its next `tokens` tokens as one chunk."""
    start = int(cache.seq_lens[layer, 0])
    view = cache.update(layer, *rows(start, start + tokens, batch=cache.batch), **arguments)
    settle(cache)
    return view


def fed(strategy: Any, tokens: int, **arguments: Any) -> KVCache:
    """A cache whose layers have all taken `tokens` tokens, one by one."""
    cache = make(strategy, **arguments)
    for _ in range(tokens):
        for layer in range(cache.layers):
            feed(cache, 1, layer=layer)
    return cache


def settle(cache: KVCache) -> None:
    """What follows every step of a test."""
    poison(cache)
    cache.check()


def shown(view: KVView) -> list[int]:
    """The positions of the rows in a view, read off its keys; its values must agree."""
    keys, values = view
    positions = keys[0, :, 0, 0]
    assert np.array_equal(values[0, :, 0, 0], positions + 0.5), "K and V of different tokens"
    assert np.array_equal(positions, view.positions), "positions and rows disagree"
    return [int(position) for position in positions]


def seen(view: KVView) -> list[list[int]]:
    """For each query of a view, the positions that its mask lets it attend to, sorted."""
    keys, _ = view
    return [sorted(int(p) for p in keys[0, allowed, 0, 0]) for allowed in view.mask()]


# What may be called on layers that have seen nine tokens, by name.
CALLS: dict[str, Callable[[KVCache], Any]] = {
    "one token": lambda cache: cache.update(0, *rows(9, 10)),
    "one token in physical order": lambda cache: cache.update(0, *rows(9, 10), order="physical"),
    "a chunk": lambda cache: cache.update(0, *rows(9, 12)),
    "a chunk that is assembled": lambda cache: cache.update(0, *rows(9, 14)),
    "the total": lambda cache: cache.update(0, *rows(9, 11), seq_len=11),
    "truncate": lambda cache: cache.truncate(8),
    "truncate by a smaller total": lambda cache: cache.update(0, *rows(0, 0), seq_len=8),
    "reset": lambda cache: cache.reset(),
}
