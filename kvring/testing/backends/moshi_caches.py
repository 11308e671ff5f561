"""The caches of moshi-mlx inside its own attention, which cuts what they return to its context."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
from moshi_mlx.modules import kv_cache, transformer

from ..observations import Outputs
from ..setup import Setup
from ..supports import Supports

__all__ = ["kv", "rotating"]

SUPPORTS = Supports(
    observes="outputs",
    modes=("circular",),
    layouts=("BHSD",),
    head_dims=(64,),
    ragged=(),
    most_sink_tokens=0,
    most_rollback_tokens=0,
    most_chunk=1,  # the attention makes no mask
    window_counts_self=False,  # the context is what is seen besides the token itself
)


class Backend:
    """One attention module, its projections replaced by what the oracle gives it."""

    def __init__(self, setup: Setup, caches: list[Any]) -> None:
        self.caches, self.width = caches, setup.kv_heads * setup.head_dim
        self.attention = transformer.Attention(
            SimpleNamespace(
                d_model=self.width,
                num_heads=setup.kv_heads,
                kv_repeat=1,
                head_dim=setup.head_dim,
                context=setup.window,
                bias_attn=False,
                positional_embedding="none",
            )
        )
        self.attention.out_proj = lambda rows: rows
        self.heads = setup.kv_heads

    def update(self, layer: int, queries: Any, keys: Any, values: Any) -> Outputs:
        """Attention of new tokens."""
        batch, _, tokens, _ = keys.shape
        projected = np.stack([array.swapaxes(1, 2) for array in (queries, keys, values)], axis=2)
        self.attention.in_proj = lambda _: mx.array(projected)
        hidden = mx.zeros((batch, tokens, self.width))
        outputs = self.attention(hidden, self.caches[layer])
        return Outputs(np.array(outputs).reshape(batch, tokens, self.heads, -1))

    def seq_len(self, layer: int) -> int:
        """Tokens seen."""
        return int(self.caches[layer].offset)

    def reset(self) -> None:
        """Forget everything."""
        for held in self.caches:
            held.reset()


def kv(setup: Setup) -> Backend:
    """`KVCache`, as the audio codec uses it."""
    caches = [kv_cache.KVCache(setup.head_dim, setup.kv_heads) for _ in setup.strategies]
    return Backend(setup, caches)


def rotating(setup: Setup) -> Backend:
    """`RotatingKVCache`, as the language model uses it: larger than its context."""
    size = setup.window + 2
    new = kv_cache.RotatingKVCache
    return Backend(setup, [new(setup.head_dim, setup.kv_heads, size) for _ in setup.strategies])


kv.supports = SUPPORTS  # type: ignore[attr-defined]
rotating.supports = SUPPORTS  # type: ignore[attr-defined]
