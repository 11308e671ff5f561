"""kvring: a KV cache for transformer inference on the CPU.

Fixed-capacity ring buffers for the keys and values of every layer, updated in place, in append,
circular and replace modes. Start with :class:`KVCache`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .cache import KVCache
    from .config import Append, Circular, Replace
    from .errors import (
        CapacityError,
        ConfigError,
        DTypeError,
        EvictedError,
        KVRingError,
        LayerError,
        PositionError,
        ShapeError,
        StaleViewError,
    )
    from .facts import Stats
    from .ring import RingBuffer
    from .view import KVView
    from .warm import warm_up

__all__ = [
    "Append",
    "CapacityError",
    "Circular",
    "ConfigError",
    "DTypeError",
    "EvictedError",
    "KVCache",
    "KVRingError",
    "KVView",
    "LayerError",
    "PositionError",
    "Replace",
    "RingBuffer",
    "ShapeError",
    "StaleViewError",
    "Stats",
    "__version__",
    "warm_up",
]

# Where each public name lives. They load on first use (PEP 562): `import kvring` and the oracle
# must not pull in Numba, which takes longer to load than everything else together.
_HOMES = {
    "KVCache": "cache",
    "KVView": "view",
    "RingBuffer": "ring",
    "Stats": "facts",
    "warm_up": "warm",
} | dict.fromkeys(("Append", "Circular", "Replace"), "config")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f".{_HOMES.get(name, 'errors')}", __name__)
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
