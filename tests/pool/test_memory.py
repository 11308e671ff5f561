"""Memory that is given back is really given back: the resident memory of the process falls."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from kvring import Append, CachePool
from tests.pool.pools import resident_bytes

MIB = 1 << 20
# One token takes 16 KiB in one layer; 500 of them 8 MiB, in both layers 16.
LARGE = {"layers": 2, "kv_heads": 16, "head_dim": 128, "strategy": Append(1 << 20)}


@pytest.fixture
def large():
    """A pool of 80 MiB, and rows of 8 MiB for one layer."""
    with CachePool(budget_bytes=80 * MIB, **LARGE) as pool:
        yield pool, np.ones((1, 500, 16, 128), np.float32)


def fill(cache, rows, times):
    for _ in range(times):
        for layer in range(2):
            cache.update(layer, rows, rows)


@pytest.mark.parametrize("verb", ["truncate", "reset"])
def test_memory_of_a_large_cache_falls_under_pressure(verb, large):
    pool, rows = large
    with pool.lease("large") as cache, pool.lease("other") as other:
        fill(cache, rows, 3)
        full = resident_bytes()
        cache.truncate(10) if verb == "truncate" else cache.reset()
        assert resident_bytes() > full - 8 * MIB  # nobody needs it yet
        fill(other, rows, 3)  # 96 MiB, if nothing were given back
        assert resident_bytes() < full + 8 * MIB
        assert pool.stats.bytes < 50 * MIB


def test_memory_of_sequences_that_give_way_or_are_closed_falls(large):
    pool, rows = large
    gc.collect()
    before = resident_bytes()
    for name in "abcd":
        with pool.lease(name) as cache:
            fill(cache, rows, 2)  # 32 MiB, so two at a time
            held = cache.read(0).keys  # whoever keeps an array keeps no memory
    assert resident_bytes() < before + 72 * MIB
    assert held.shape[1] == 1000
    pool.close("c")
    pool.close("d")
    assert pool.stats.bytes == 0
    assert resident_bytes() < before + 8 * MIB


def test_memory_falls_when_a_pool_is_closed_or_dropped(large):
    pool, rows = large
    before = resident_bytes()
    with pool.lease("a") as cache:
        fill(cache, rows, 4)
    assert resident_bytes() > before + 56 * MIB
    pool.close()
    assert resident_bytes() < before + 8 * MIB
    dropped = CachePool(budget_bytes=80 * MIB, **LARGE)
    with dropped.lease("a") as cache:
        fill(cache, rows, 4)
    assert resident_bytes() > before + 56 * MIB
    gc.disable()
    try:
        del dropped, cache
        assert resident_bytes() < before + 8 * MIB
    finally:
        gc.enable()
