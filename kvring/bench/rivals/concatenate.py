"""np.concatenate on every update: the cache that everybody writes first."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup

__all__ = ["Concatenating"]


class Concatenating:
    """All rows of a layer in one pair of arrays, which every update replaces."""

    def __init__(self, setup: Setup) -> None:
        import numpy as np

        self._concatenate = np.concatenate
        self._window = setup.window
        empty = np.empty((1, 0, setup.kv_heads, setup.head_dim), setup.dtype)
        self._pairs = [(empty, empty)] * setup.layers

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """Old rows and new ones; with a window, the update keeps its newest rows only."""
        old_keys, old_values = self._pairs[layer]
        both = (
            self._concatenate([old_keys, keys], axis=1),
            self._concatenate([old_values, values], axis=1),
        )
        window = self._window
        kept = both if window is None else (both[0][:, -window:], both[1][:, -window:])
        self._pairs[layer] = kept
        return both if keys.shape[1] > 1 else kept

    def read(self, layer: int) -> tuple[Any, Any]:
        """The arrays as they are."""
        return self._pairs[layer]

    def truncate(self, seq_len: int) -> None:
        """Keep the first rows; the next update copies them anyway."""
        if self._window is not None:
            raise ValueError("rows in front of the window are gone")
        self._pairs = [(k[:, :seq_len], v[:, :seq_len]) for k, v in self._pairs]
