"""Hugging Face transformers' two sliding layers: one concatenates and cuts, one rolls."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup, UnsupportedError

from .torch_rows import TorchRows, imported_layers

__all__ = ["DynamicSliding", "StaticSliding"]


class _Sliding(TorchRows):
    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """What attention needs: the window, and for a chunk the rows before it as well."""
        both: tuple[Any, Any] = self._layers[layer].update(keys, values)
        return both

    def read(self, layer: int) -> tuple[Any, Any]:
        """The tensors as they are: the dynamic layer keeps one row less than the window."""
        return self._layers[layer].keys, self._layers[layer].values


class DynamicSliding(_Sliding):
    """One DynamicSlidingWindowLayer for each layer."""

    def __init__(self, setup: Setup) -> None:
        if setup.window is None:
            raise UnsupportedError("keeps a window only")
        made = imported_layers().DynamicSlidingWindowLayer
        super().__init__([made(sliding_window=setup.window) for _ in range(setup.layers)])


class StaticSliding(_Sliding):
    """One StaticSlidingWindowLayer for each layer."""

    def __init__(self, setup: Setup) -> None:
        if setup.window is None:
            raise UnsupportedError("keeps a window only")
        made = imported_layers().StaticSlidingWindowLayer
        numbers = {"max_cache_len": 1 << 20, "sliding_window": setup.window}
        super().__init__([made(**numbers) for _ in range(setup.layers)])
