"""np.roll: a window that shifts all its rows on every update."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup, UnsupportedError

__all__ = ["Rolling"]


class Rolling:
    """The newest row is always the last one; rows not written yet are zeros in front."""

    def __init__(self, setup: Setup) -> None:
        import numpy as np

        if setup.window is None:
            raise UnsupportedError("shifts a window of fixed length")
        self._np = np
        self._window = setup.window
        shape = (1, setup.window, setup.kv_heads, setup.head_dim)
        self._pairs = [
            [np.zeros(shape, setup.dtype), np.zeros(shape, setup.dtype)]
            for _ in range(setup.layers)
        ]
        self._lengths = [0] * setup.layers

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """Shift by as many rows as come in and write them at the end."""
        tokens = min(keys.shape[1], self._window)
        pair = self._pairs[layer]
        for place, rows in enumerate((keys, values)):
            rolled = self._np.roll(pair[place], -tokens, axis=1)
            rolled[:, -tokens:] = rows[:, -tokens:]
            pair[place] = rolled
        self._lengths[layer] = min(self._lengths[layer] + tokens, self._window)
        return self.read(layer)

    def read(self, layer: int) -> tuple[Any, Any]:
        """The rows that have been written, as slices."""
        length = self._lengths[layer]
        keys, values = self._pairs[layer]
        return keys[:, self._window - length :], values[:, self._window - length :]
