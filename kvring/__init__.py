"""kvring: a KV cache for transformer inference on the CPU.

Fixed-capacity ring buffers for the keys and values of every layer, updated in place, in append,
circular and replace modes. Start with :class:`KVCache`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .attention.attending import attend
    from .attention.merge import merge_attention
    from .cache import KVCache
    from .cache.facts import Stats
    from .config import Append, Circular, Replace
    from .errors import (
        BudgetError,
        CapacityError,
        ConfigError,
        DTypeError,
        EvictedError,
        KVRingError,
        LayerError,
        LeaseError,
        LockError,
        PolicyError,
        PositionError,
        ShapeError,
        SnapshotError,
        StaleViewError,
    )
    from .eviction import FIFO, LRU, EvictionPolicy, HeavyHitter
    from .pool import CachePool
    from .pool.facts import PoolEvent, PoolStats, SequenceInfo
    from .ring import RingBuffer
    from .view import KVView
    from .warm import warm_up

__all__ = [
    "FIFO",
    "LRU",
    "Append",
    "BudgetError",
    "CachePool",
    "CapacityError",
    "Circular",
    "ConfigError",
    "DTypeError",
    "EvictedError",
    "EvictionPolicy",
    "HeavyHitter",
    "KVCache",
    "KVRingError",
    "KVView",
    "LayerError",
    "LeaseError",
    "LockError",
    "PolicyError",
    "PoolEvent",
    "PoolStats",
    "PositionError",
    "Replace",
    "RingBuffer",
    "SequenceInfo",
    "ShapeError",
    "SnapshotError",
    "StaleViewError",
    "Stats",
    "__version__",
    "attend",
    "merge_attention",
    "warm_up",
]

# Where each public name lives. They load on first use (PEP 562): `import kvring` and the oracle
# must not pull in Numba, which takes longer to load than everything else together.
_HOMES = {
    "CachePool": "pool",
    "KVCache": "cache",
    "KVView": "view",
    "RingBuffer": "ring",
    "Stats": "cache.facts",
    "attend": "attention.attending",
    "merge_attention": "attention.merge",
    "warm_up": "warm",
}
_HOMES |= dict.fromkeys(("Append", "Circular", "Replace"), "config")
_HOMES |= dict.fromkeys(("PoolEvent", "PoolStats", "SequenceInfo"), "pool.facts")
_HOMES |= dict.fromkeys(("FIFO", "LRU", "HeavyHitter", "EvictionPolicy"), "eviction")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f".{_HOMES.get(name, 'errors')}", __name__)
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
