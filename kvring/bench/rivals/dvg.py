"""dvg-ringbuffer: a general NumPy ring that unwraps into a second buffer to be read."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup, UnsupportedError

__all__ = ["Dvg"]


class Dvg:
    """Two rings for each layer. Reading a full one copies it into one piece, oldest first."""

    def __init__(self, setup: Setup) -> None:
        try:
            from dvg_ringbuffer import RingBuffer
        except ImportError as error:
            raise UnsupportedError(f"needs dvg-ringbuffer ({error})") from None
        rows = setup.window or setup.capacity
        shape = (setup.dtype, (setup.kv_heads, setup.head_dim))
        self._pairs = [
            (RingBuffer(rows, dtype=shape), RingBuffer(rows, dtype=shape))
            for _ in range(setup.layers)
        ]

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """Append or extend, then unwrap."""
        for ring, rows in zip(self._pairs[layer], (keys[0], values[0]), strict=True):
            if len(rows) == 1:
                ring.append(rows[0])
            else:
                ring.extend(rows)
        return self.read(layer)

    def read(self, layer: int) -> tuple[Any, Any]:
        """Both rings unwrapped."""
        keys, values = self._pairs[layer]
        return keys[:][None], values[:][None]
