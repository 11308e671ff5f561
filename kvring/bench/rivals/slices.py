"""Bare slices of preallocated arrays: what a cache in Python can hope to be as fast as.

No checks, no positions, no views of chunks: what is left out is what kvring adds.
"""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup

__all__ = ["Slices"]


class Slices:
    """Arrays that are written in order, or round and round."""

    def __init__(self, setup: Setup) -> None:
        from math import prod

        from kvring.memory import reserve

        self._capacity = setup.window or setup.capacity
        self._wraps = setup.window is not None
        self._seq_lens = [0] * setup.layers
        shape = (1, self._capacity, setup.kv_heads, setup.head_dim)

        def new() -> Any:
            import numpy as np

            dtype = np.dtype(setup.dtype)
            return reserve(prod(shape) * dtype.itemsize).view(dtype).reshape(shape)

        self._pairs = [(new(), new()) for _ in range(setup.layers)]

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """One assignment for each of K and V, two where the rows wrap."""
        tokens, seq_len = keys.shape[1], self._seq_lens[layer]
        all_keys, all_values = self._pairs[layer]
        self._seq_lens[layer] = seq_len = seq_len + tokens
        if tokens > self._capacity and self._wraps:
            keys, values = keys[:, -self._capacity :], values[:, -self._capacity :]
            tokens = self._capacity
        slot = (seq_len - tokens) % self._capacity if self._wraps else seq_len - tokens
        fit = min(tokens, self._capacity - slot)
        all_keys[:, slot : slot + fit] = keys[:, :fit]
        all_values[:, slot : slot + fit] = values[:, :fit]
        if fit < tokens:
            all_keys[:, : tokens - fit] = keys[:, fit:]
            all_values[:, : tokens - fit] = values[:, fit:]
        return all_keys[:, :seq_len], all_values[:, :seq_len]

    def read(self, layer: int) -> tuple[Any, Any]:
        """The slots that have been written."""
        keys, values = self._pairs[layer]
        return keys[:, : self._seq_lens[layer]], values[:, : self._seq_lens[layer]]

    def truncate(self, seq_len: int) -> None:
        """A counter goes back."""
        if self._wraps and max(self._seq_lens) > self._capacity:
            raise ValueError("rows in front of the window are gone")
        self._seq_lens = [seq_len] * len(self._seq_lens)
