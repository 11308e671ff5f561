"""A user's file, typed: `mypy --strict` accepts it against the installed wheel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import kvring
from kvring import LRU, Append, CapacityError, Circular, EvictionPolicy, KVCache, KVView, attend
from kvring.errors import KVRingError


class Oldest(EvictionPolicy):
    """A policy of one's own."""

    def victims(self, candidates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """The oldest rows."""
        return candidates[:count]


def decode(cache: KVCache, tokens: int) -> NDArray[np.float32]:
    """A decode loop."""
    query = np.ones((1, 1, 4, 8), dtype=np.float32)
    row = np.ones((1, 1, 2, 8), dtype=np.float32)
    out: NDArray[np.float32] = query
    for _ in range(tokens):
        view: KVView = cache.update(0, row, row, order="physical")
        keys, values = view
        assert keys.shape == values.shape
        out = np.asarray(attend(query, view), dtype=np.float32)
    return out


def main() -> int:
    """Everything that a first program uses."""
    version: str = kvring.__version__
    modes: list[Append | Circular] = [
        Circular(window=4, sink_tokens=1),
        Append(8, eviction=LRU()),
        Append(8, eviction=Oldest()),
    ]
    for mode in modes:
        cache = KVCache(layers=1, kv_heads=2, head_dim=8, strategy=mode)
        out = decode(cache, 12)
        seq_len: int = cache.seq_len
        room: int | None = cache.room
        positions: NDArray[np.int64] = cache.positions(0)
        print(version, out.shape, seq_len, room, positions.tolist())
    full = KVCache(layers=1, kv_heads=2, head_dim=8, strategy=Append(1))
    try:
        decode(full, 2)
    except CapacityError as error:
        known: KVRingError = error
        print(type(known).__name__)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
