"""Pools for tests, rows that can be told apart, and what the system says is committed."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kvring import Append, CachePool, KVCache
from kvring.memory import PAGE_BYTES, mapping_of
from tests.support import make_rows, token_names

PAGE = PAGE_BYTES
PRESENT, SWAPPED = 1 << 63, 1 << 62
# A row of this cache is 256 bytes of K in one layer: sixteen to a page.
SMALL: dict[str, Any] = {"layers": 2, "kv_heads": 1, "head_dim": 64, "strategy": Append(4096)}
ROWS_TO_A_PAGE = PAGE // 256


def small_pool(pages: int, **options: Any) -> CachePool:
    """A pool of `SMALL` caches with a budget of so many pages."""
    return CachePool(**{**SMALL, "budget_bytes": pages * PAGE, **options})


def feed(cache: KVCache, count: int, *, history: int = 0, layers: Any = None) -> None:
    """Append `count` tokens, which can be told from all others, to every layer."""
    for layer in range(cache.layers) if layers is None else layers:
        first = int(cache.seq_lens[layer].max())
        cache.update(layer, *make_rows(cache.config, layer, first, count, history=history))


def names(cache: KVCache) -> list[list[bytes]]:
    """What the rows of every layer are, oldest first, by their bytes."""
    return [
        token_names(*cache.read(layer), cache.layout) if cache.lengths[layer].all() else []
        for layer in range(cache.layers)
    ]


def named(pool: CachePool, name: str) -> list[list[bytes]]:
    """The same of a sequence."""
    with pool.lease(name, timeout=0) as cache:
        cache.check()
        return names(cache)


def make_sequence(pool: CachePool, name: str, tokens: int) -> list[list[bytes]]:
    """A sequence of so many tokens, of its own history, given back."""
    with pool.lease(name, timeout=0) as cache:
        feed(cache, tokens, history=hash_of(name))
        return names(cache)


def in_thread(work: Callable[[], Any]) -> Any:
    """Run `work` in a thread of its own; what it returned or raised."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, name="the other")
    thread.start()
    thread.join()
    return found[0]


def hash_of(name: str) -> int:
    """The same number for the same name in every run."""
    return int.from_bytes(name.encode("utf-8", "surrogatepass")[:8].ljust(8, b"."), "little")


def cache_of(pool: CachePool, name: str) -> Any:
    """The cache of a sequence that is in memory, without a lease."""
    return pool._book.sequences[name].cache


def committed_pages(cache: KVCache) -> int:
    """Pages of K and V that the system has given to the process, by its own page table."""
    with Path("/proc/self/pagemap").open("rb", buffering=0) as table:
        return sum(
            _present(table, array) for ring in cache.rings for array in (ring._keys, ring._values)
        )


def _present(table: Any, array: np.ndarray) -> int:
    start, count = array.ctypes.data // PAGE, -(-len(mapping_of(array)) // PAGE)
    table.seek(start * 8)
    entries = struct.unpack(f"{count}Q", table.read(count * 8))
    return sum(bool(entry & (PRESENT | SWAPPED)) for entry in entries)


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
