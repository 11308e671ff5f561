"""Hugging Face transformers' StaticCache: preallocated, and all of it goes to attention."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup, UnsupportedError

from .torch_rows import TorchRows, imported_layers

__all__ = ["Static"]


class Static(TorchRows):
    """One StaticLayer for each layer."""

    def __init__(self, setup: Setup) -> None:
        if setup.window is not None:
            raise UnsupportedError("keeps every row; its sliding layer is another rival")
        made = imported_layers().StaticLayer
        self._layers = [made(max_cache_len=setup.capacity) for _ in range(setup.layers)]

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """The whole buffer: attention masks what is not written yet."""
        both: tuple[Any, Any] = self._layers[layer].update(keys, values)
        return both

    def read(self, layer: int) -> tuple[Any, Any]:
        """The rows that have been written, as slices."""
        stored = self._layers[layer]
        seq_len = int(stored.get_seq_length())
        return stored.keys[:, :, :seq_len], stored.values[:, :, :seq_len]

    def truncate(self, seq_len: int) -> None:
        """Crop, which takes how many tokens go."""
        for layer in self._layers:
            layer.crop(seq_len - int(layer.get_seq_length()))
