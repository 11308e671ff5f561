"""Attention in NumPy, one matrix product per KV head for scores and one for values."""

from __future__ import annotations

from typing import Any

from kvring.bench.attention_rival import AttentionSetup
from kvring.bench.rival import UnsupportedError

__all__ = ["PerHead"]


class PerHead:
    """The query heads of a KV head form one matrix; nothing is repeated."""

    def __init__(self, setup: AttentionSetup) -> None:
        if setup.dtype != "float32":
            raise UnsupportedError(f"NumPy's matrix products of {setup.dtype} are not vectorized")
        try:
            from threadpoolctl import threadpool_limits
        except ImportError as error:
            raise UnsupportedError(f"needs threadpoolctl to set its threads ({error})") from None
        self._setup = setup
        self._limits = threadpool_limits(setup.threads, user_api="blas")

    def load(self, keys: Any, values: Any, query: Any) -> None:
        """Each head's rows together in memory."""
        import numpy as np

        self._np = np
        setup = self._setup
        self._keys = keys[0].swapaxes(0, 1).copy()
        self._values = values[0].swapaxes(0, 1).copy()
        self._query = query.reshape(setup.kv_heads, -1, setup.head_dim).copy()

    def attend(self) -> Any:
        """Products over the stack of KV heads, softmax in place."""
        scores = (self._query * self._setup.head_dim**-0.5) @ self._keys.swapaxes(1, 2)
        scores -= scores.max(axis=-1, keepdims=True)
        self._np.exp(scores, out=scores)
        totals = scores.sum(axis=-1, keepdims=True)
        return (scores @ self._values) / totals

    def close(self) -> None:
        """As many threads as before."""
        self._limits.unregister()
