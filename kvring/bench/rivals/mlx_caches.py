"""mlx-lm's KVCache, which grows in steps of 256, and RotatingKVCache, on MLX's CPU device."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup, UnsupportedError

__all__ = ["Growing", "Rotating"]


class _Mlx:
    layout = "BHSD"

    def __init__(self, made: str, setup: Setup, **numbers: int) -> None:
        try:
            import mlx.core as mx
            from mlx_lm.models import cache
        except ImportError as error:
            raise UnsupportedError(f"needs mlx-lm[cpu] ({error})") from None
        mx.set_default_device(mx.cpu)
        self._mx = mx
        self._layers = [getattr(cache, made)(**numbers) for _ in range(setup.layers)]

    def given(self, array: Any) -> Any:
        """An MLX array of its own."""
        copied = self._mx.array(array)
        self._mx.eval(copied)
        return copied

    def shown(self, kept: Any) -> Any:
        """A copy as a NumPy array."""
        import numpy as np

        return np.array(kept)

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """MLX is lazy: the result is asked for, as attention would."""
        both: tuple[Any, Any] = self._layers[layer].update_and_fetch(keys, values)
        self._mx.eval(both)
        return both

    def read(self, layer: int) -> tuple[Any, Any]:
        """The cache's state: its arrays without unwritten rows."""
        both: tuple[Any, Any] = self._layers[layer].state[:2]
        self._mx.eval(both)
        return both


class Growing(_Mlx):
    """mlx-lm's KVCache."""

    def __init__(self, setup: Setup) -> None:
        if setup.window is not None:
            raise UnsupportedError("keeps every row; RotatingKVCache is another rival")
        super().__init__("KVCache", setup)
        from mlx_lm.models.cache import trim_prompt_cache

        self._trim_all = trim_prompt_cache

    def truncate(self, seq_len: int) -> None:
        """Trim, which takes how many tokens go."""
        self._trim_all(self._layers, self._layers[0].size() - seq_len)


class Rotating(_Mlx):
    """mlx-lm's RotatingKVCache."""

    def __init__(self, setup: Setup) -> None:
        if setup.window is None:
            raise UnsupportedError("keeps a window only")
        super().__init__("RotatingKVCache", setup, max_size=setup.window)
