"""Caches of VeloxQuant-MLX that keep what they keep as it came.

Its sliding window stands before any other cache of its own kind; here, before one that rounds
nothing. The others are for models of mlx-lm, and are used as :mod:`.mlx_caches` uses those.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
from veloxquant_mlx.cache.base import KVCacheConfig, KVCacheFactory
from veloxquant_mlx.cache.sliding_window_cache import SlidingWindowKVCache
from veloxquant_mlx.core.abstractions import KVCache

from ..observations import Outputs
from ..setup import Setup
from ..supports import Supports
from .common import GROWING, SLIDING
from .mlx_caches import Backend

__all__ = ["h2o", "sliding_window", "sliding_window_padded", "streaming"]

LONG = 512
PADDING = "padding"  # the key of a token that attention leaves out


class Exact(KVCache):  # type: ignore[misc]
    """What the sliding window wraps: the vectors of one head, as they came."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []

    def append_key(self, k: Any) -> None:
        """One more."""
        self.keys.append(k)

    def append_value(self, v: Any) -> None:
        """One more."""
        self.values.append(v)

    def attend(self, q: Any) -> Any:
        """Softmax attention over all but padding; zeros for nothing, as the others have it."""
        real = [place for place, key in enumerate(self.keys) if key is not PADDING]
        if not real:
            return mx.zeros(q.shape, q.dtype)
        keys, values = (mx.stack([rows[n] for n in real]) for rows in (self.keys, self.values))
        return mx.softmax((keys @ q) * len(q) ** -0.5) @ values

    def memory_bytes(self) -> int:
        """Of V."""
        return sum(int(array.nbytes) for array in self.values)

    def reset(self) -> None:
        """Forget everything."""
        self.keys, self.values = [], []

    def __len__(self) -> int:
        return len(self.keys)


class Heads:
    """One sliding window per layer, batch row and head."""

    def __init__(self, setup: Setup) -> None:
        self.seen = [0] * setup.layers
        self.layers = [
            [
                [SlidingWindowKVCache(Exact(), setup.window) for _ in range(setup.kv_heads)]
                for _ in range(setup.batch)
            ]
            for _ in setup.strategies
        ]

    def update(self, layer: int, queries: Any, keys: Any, values: Any) -> Outputs:
        """Token after token, as there is no other way."""
        outputs = np.zeros(values.shape, np.float32)
        for batch_row, heads in enumerate(self.layers[layer]):
            for token in range(keys.shape[1]):
                for head, held in enumerate(heads):
                    at = (batch_row, token, head)
                    held.append_key(mx.array(keys[at]))
                    held.append_value(mx.array(values[at]))
                    outputs[at] = np.array(held.attend(mx.array(queries[at])))
        self.seen[layer] += keys.shape[1]
        return Outputs(outputs)

    def seq_len(self, layer: int) -> int:
        """The caller counts."""
        return self.seen[layer]

    def copy(self) -> Heads:
        """With all that it holds."""
        return copy.deepcopy(self)


def sliding_window(setup: Setup) -> Heads:
    """`SlidingWindowKVCache`."""
    return Heads(setup)


def sliding_window_padded(setup: Setup) -> Heads:
    """The same, full from the start: of padding, which is evicted as tokens come."""
    backend = Heads(setup)
    nothing = mx.zeros(setup.value_dim)
    for held in (held for layer in backend.layers for heads in layer for held in heads):
        for _ in range(setup.window + 1):
            held.append_key(PADDING)
            held.append_value(nothing)
    return backend


def of_method(setup: Setup, method: str, **options: Any) -> Backend:
    """A cache for mlx-lm's models per layer."""
    config = KVCacheConfig(method=method, head_dim=setup.head_dim, **options)
    return Backend([KVCacheFactory.create(config) for _ in setup.strategies])


def streaming(setup: Setup) -> Backend:
    """`StreamingLLMKVCache`: sinks, and a window of rows besides the token's own."""
    sizes = {"stream_n_sink": setup.sink_tokens, "stream_window_size": setup.window}
    return of_method(setup, "streaming_llm", **sizes)


def h2o(setup: Setup) -> Backend:
    """`H2OKVCache` with room for any history: nothing gives way."""
    return of_method(setup, "h2o", h2o_budget=LONG)


_WINDOW = Supports(
    observes="outputs",
    modes=("circular",),
    layouts=("BSHD",),
    head_dims=(64,),
    ragged=(),
    most_sink_tokens=0,
    most_rollback_tokens=0,
)
sliding_window.supports = _WINDOW  # type: ignore[attr-defined]
sliding_window_padded.supports = _WINDOW  # type: ignore[attr-defined]
_NO_FILES = {**SLIDING.without, "save": "mlx-lm loads its own classes alone"}
streaming.supports = replace(  # type: ignore[attr-defined]
    SLIDING,
    dtypes=("float16",),  # what is stored
    most_sink_tokens=2,
    window_counts_self=False,
    eviction="lazy",  # rows give way after the update
    without=_NO_FILES,
)
h2o.supports = replace(GROWING, dtypes=("float16",), truncate="may_refuse", without=_NO_FILES)  # type: ignore[attr-defined]
