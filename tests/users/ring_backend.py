"""RingCache behind the oracle's adapter for transformers: as the models of the release use it."""

from dataclasses import replace

import numpy as np
from ml_dtypes import bfloat16
from transformers import LlamaConfig, MistralConfig

from kvring.adapters.hf_attention import NAME, ring_mask
from kvring.adapters.hf_columns import Columns
from kvring.adapters.tensors import array_of, tensor_of
from kvring.adapters.transformers import RingCache
from kvring.testing.backends.common import GROWING
from kvring.testing.backends.hf_transformers import Backend, seen_by
from kvring.testing.observations import Rows


class RingBackend(Backend):
    """The adapter, for dtypes that NumPy has no name for, and for masks of our own attention."""

    def update(self, layer, keys, values):
        mask = self.mask(layer, keys.shape[2])
        given = [tensor_of(array.copy()) for array in (keys, values)]
        shown = self.cache.update(*given, layer)
        self.seen[layer] += keys.shape[2]
        if self.cache.rings is not None:
            self.cache.rings.check()
        return Rows(*(array_of(tensor).copy() for tensor in shown), mask)

    def mask(self, layer, tokens):
        if self.cache.config._attn_implementation != NAME:
            return super().mask(layer, tokens)
        first = self.cache.get_seq_length(layer)
        length, columns = self.cache.get_mask_sizes(tokens, layer)
        assert isinstance(columns, Columns)
        mask = ring_mask(
            batch_size=1,
            q_length=tokens,
            kv_length=length,
            q_offset=first,
            kv_offset=columns,
            mask_function=seen_by(self.window),
        )
        if mask is not None:
            return mask[0, 0].numpy()
        return np.tri(tokens, length, length - tokens, dtype=bool)  # what torch takes None for

    def next_position(self, layer):
        return self.cache.get_seq_length(layer)


def ring(setup, attention):
    """A RingCache for a model that has such layers."""
    common = {
        "num_hidden_layers": setup.layers,
        "num_key_value_heads": setup.kv_heads,
        "num_attention_heads": setup.kv_heads,
        "hidden_size": setup.kv_heads * setup.head_dim,
        "attn_implementation": attention,
    }
    if not setup.window:
        return RingBackend(RingCache(LlamaConfig(**common), capacity=setup.capacity), setup)
    config = MistralConfig(sliding_window=setup.window, **common)
    numbers = {"sink_tokens": setup.sink_tokens, "rollback_tokens": setup.rollback_tokens}
    return RingBackend(RingCache(config, **numbers), setup)


def with_sdpa(setup):
    """With the masks of transformers, which follow slot order by way of `Columns`."""
    return ring(setup, "sdpa")


def with_another_attention(setup):
    """With masks that nothing is known of: rows in temporal order."""
    return ring(setup, "flex_attention")


def with_kvring(setup):
    """With masks of our own, which know sinks."""
    return ring(setup, NAME)


with_another_attention.supports = replace(
    GROWING,
    modes=("append", "circular"),
    dtypes=("float32", "float16", "bfloat16", "float64"),
    most_sink_tokens=0,
    overflow="refused",
    truncate="contract",
)
with_sdpa.supports = replace(with_another_attention.supports, row_order="slots")
with_kvring.supports = replace(with_sdpa.supports, most_sink_tokens=2)
assert bfloat16  # registers the dtype's name with NumPy
