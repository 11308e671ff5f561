"""Hugging Face transformers' DynamicCache: torch.cat on every update."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup, UnsupportedError

from .torch_rows import TorchRows, imported_layers

__all__ = ["Dynamic"]


class Dynamic(TorchRows):
    """One DynamicLayer for each layer, without the cache object around them."""

    def __init__(self, setup: Setup) -> None:
        if setup.window is not None:
            raise UnsupportedError("keeps every row; its sliding layer is another rival")
        made = imported_layers().DynamicLayer
        self._layers = [made() for _ in range(setup.layers)]

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """All rows, as new tensors."""
        both: tuple[Any, Any] = self._layers[layer].update(keys, values)
        return both

    def read(self, layer: int) -> tuple[Any, Any]:
        """The tensors as they are."""
        return self._layers[layer].keys, self._layers[layer].values

    def truncate(self, seq_len: int) -> None:
        """Crop, which takes how many tokens go."""
        for layer in self._layers:
            layer.crop(seq_len - layer.get_seq_length())
