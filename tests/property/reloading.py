"""A cache and what comes back of it: from a file, or from the spill of a pool."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from kvring import CachePool, KVCache, SnapshotError
from kvring.pool.book import Need
from kvring.pool.sequences import Hold

AXES = ("kv_heads", "head_dim", "value_dim", "strategy")
# In memory, where there is such a folder: thousands of files are not to be waited for.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(dir=MEMORY)


def reloaded(cache: Any) -> Any:
    """The cache's twin, after a save and a load; None if a policy of its own cannot be saved."""
    path = Path(_folder().name, "file")
    policies = _policies(cache)
    if not _can_be_saved(cache):
        with pytest.raises(SnapshotError, match="no method to_bytes"):
            cache.save(path)
        return None
    cache.save(path)
    return KVCache.load(path, policies=policies)


def restored(cache: Any) -> Any:
    """The cache's twin in a pool, after it was driven out to disk and came back; None as above.

    It is on lease for as long as it lives, and every page that it takes from now on is admitted.
    """
    config = cache.config
    pool = CachePool(
        budget_bytes=1 << 26,
        layers=len(config.layers),
        **{name: [getattr(of, name) for of in config.layers] for name in AXES},
        batch=config.batch,
        dtype=config.dtype,
        layout=config.layout,
        spill=_folder().name,
    )
    with pool.lease("it") as twin:
        slots = [ring.capacity for ring in twin.rings]
        assert pool._book.grant(Need(twin, slots, "all"), exact=False)
        twin._holding_all_locks(lambda: twin._take_from(cache))
    sequence, hold = pool._book.sequences["it"], Hold("move")
    sequence.take(hold)
    pool._keeper.give_way(sequence, failed := [])
    assert bool(failed) != _can_be_saved(cache)
    if failed:
        return None
    lease = pool.lease("it")
    back = lease.__enter__()
    assert (pool.stats.spills, pool.stats.restores) == (1, 1)
    back.__dict__["_kept_by_the_test"] = lease
    return back


def _policies(cache: Any) -> dict[int, Any]:
    layers = enumerate(cache.config.layers)
    return {number: getattr(layer.strategy, "eviction", None) for number, layer in layers}


def _can_be_saved(cache: Any) -> bool:
    """Whether all policies of one's own say what they remember."""
    own = [policy for policy in _policies(cache).values() if hasattr(policy, "victims")]
    return all(hasattr(policy, "to_bytes") for policy in own)
