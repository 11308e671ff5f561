"""A user's file with a mistake in each line marked: `mypy --strict` finds them all."""

from __future__ import annotations

from kvring import Circular, KVCache


def wrong(cache: KVCache) -> str:
    """Never called."""
    KVCache(layers=1, kv_heads=2, head_dim=8, strategy=Circular(window="four"))  # wrong
    KVCache(layers=1, kv_heads=2, head_dim=8, strategy="circular")  # wrong
    cache.update(0, [1.0], [1.0])  # wrong
    cache.read(0, order="random")  # wrong
    cache.trunkate(3)  # wrong
    return cache.seq_len  # wrong
