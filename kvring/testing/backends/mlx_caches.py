"""Caches of mlx-lm that hold sequences of one length, used as its models use them.

A model asks for the mask, then hands over the new rows; a mask may also be the word "causal" or
none at all. The caches for sequences of different lengths are in :mod:`.mlx_batches`.
"""

from __future__ import annotations

import copy
import os
import tempfile
from dataclasses import replace
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models import base, cache

from ..observations import Rows, UnsupportedError
from ..setup import Setup
from .common import GROWING, SLIDING, found_in

__all__ = [
    "Backend",
    "chunked",
    "concatenating",
    "kv",
    "kv_window",
    "quantized",
    "rotating",
    "rotating_keep",
]

APPEND = GROWING
RING = replace(SLIDING, row_order="slots")

needed = partial(found_in, cache)


def masked(mask: Any, tokens: int, rows: int) -> Any:
    """What `scaled_dot_product_attention` makes of a mask: ``(..., tokens, rows)``."""
    if mask is None:
        return np.ones((tokens, rows), bool)
    if isinstance(mask, str):
        return np.arange(rows) <= np.arange(rows - tokens, rows)[:, None]
    mask = np.array(mask)
    if mask.ndim < 3:
        return np.broadcast_to(mask, (tokens, mask.shape[-1]))
    return mask[:, 0]


def fetched(held: Any, keys: Any, values: Any, window: int | None = None) -> tuple[Any, Any, Any]:
    """Mask first, then the update, as a layer of a model does it."""
    tokens = keys.shape[2]
    mask = base.create_attention_mask(mx.zeros((len(keys), tokens, 1)), held, window_size=window)
    shown = held.update_and_fetch(mx.array(keys), mx.array(values))
    new_keys, new_values = (np.array(array) for array in shown)
    return new_keys, new_values, masked(mask, tokens, new_keys.shape[2])


def through_file(caches: list[Any]) -> list[Any]:
    """Saved and loaded as prompt caches are."""
    if any(held.keys is None for held in caches):
        raise UnsupportedError("nothing to save")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "prompt.safetensors")
        cache.save_prompt_cache(path, caches)
        loaded: list[Any] = cache.load_prompt_cache(path)
        mx.eval([held.state[:2] for held in loaded])
    return loaded


class Backend:
    """One cache per layer behind the adapter's methods.

    Parameters
    ----------
    caches : list
        One of mlx-lm's caches per layer.
    window : int, optional
        What the model says its window is.
    asks_first : bool
        Whether caches are asked if they can be trimmed, as `trim_prompt_cache` does.
    """

    def __init__(
        self, caches: list[Any], window: int | None = None, asks_first: bool = True
    ) -> None:
        self.caches, self.window, self.asks_first = caches, window, asks_first

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """What attention gets."""
        return Rows(*fetched(self.caches[layer], keys, values, self.window))

    def seq_len(self, layer: int) -> int:
        """Tokens seen."""
        return int(self.caches[layer].offset)

    def truncate(self, seq_len: int) -> None:
        """`trim` by a number of tokens; that nothing is trimmed is a refusal."""
        back = self.back_to(seq_len)
        if back < 0:
            raise IndexError("there is nothing to trim")
        self.trim(back)

    def back_to(self, seq_len: int) -> int:
        """How many tokens to trim, which is one number for all layers."""
        offsets = {held.offset for held in self.caches}
        if len(offsets) > 1:
            raise UnsupportedError("all layers are trimmed alike")
        return int(offsets.pop() - seq_len)

    def trim(self, back: int) -> None:
        """Of all layers."""
        if not self.asks_first:
            trimmed = min([held.trim(back) for held in self.caches])  # of all layers
        else:
            trimmed = cache.trim_prompt_cache(self.caches, back)
        if back and not trimmed:
            raise RuntimeError("nothing was trimmed")

    def copy(self) -> Backend:
        """As the server's prompt cache copies them."""
        return copy.deepcopy(self)

    def save_and_load(self) -> Backend:
        """Through a file."""
        return type(self)(through_file(self.caches), self.window, self.asks_first)


class Negative(Backend):
    """Asks for a negative number of tokens to be trimmed where there are fewer than wanted."""

    def truncate(self, seq_len: int) -> None:
        self.trim(self.back_to(seq_len))


class Quantized(Backend):
    """Rows as they are after dequantizing; what they spell are integers, so rounding undoes it."""

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """Mask first, then the update."""
        held, tokens = self.caches[layer], keys.shape[2]
        mask = base.create_attention_mask(mx.zeros((len(keys), tokens, 1)), held)
        sizes = {"group_size": held.group_size, "bits": held.bits}
        shown = held.update_and_fetch(mx.array(keys), mx.array(values))
        new_keys, new_values = (
            np.rint(np.array(mx.dequantize(*packed, **sizes))).astype(keys.dtype)
            for packed in shown
        )
        return Rows(new_keys, new_values, masked(mask, tokens, new_keys.shape[2]))


class Chunked(Backend):
    """Rows before the chunk go when its first update comes; the mask counts from what is left."""

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """As Llama 4 does, with a window as long as its chunk."""
        held, tokens = self.caches[layer], keys.shape[2]
        held.maybe_trim_front()
        before = held.offset - held.start_position
        mask = base.create_causal_mask(tokens, before, window_size=self.window)
        shown = held.update_and_fetch(mx.array(keys), mx.array(values))
        new_keys, new_values = (np.array(array) for array in shown)
        return Rows(new_keys, new_values, masked(mask, tokens, new_keys.shape[2]))

    def trim(self, back: int) -> None:
        """`trim` returns how many tokens it trimmed, which are never more than are left."""
        if any(back > held.offset - held.start_position for held in self.caches):
            raise UnsupportedError("fewer tokens are left")
        super().trim(back)


def of_class(name: str, setup: Setup, *arguments: Any) -> list[Any]:
    """One cache per layer."""
    kind = needed(name)
    return [kind(*arguments) for _ in setup.strategies]


def kv(setup: Setup) -> Backend:
    """`KVCache`, the default."""
    return Backend(of_class("KVCache", setup))


def kv_negative(setup: Setup) -> Backend:
    """`KVCache`, trimmed by negative numbers, too."""
    return Negative(of_class("KVCache", setup))


def kv_window(setup: Setup) -> Backend:
    """`KVCache` in a model whose layers have a window: the mask alone hides what is older."""
    return Backend(of_class("KVCache", setup), setup.window)


def quantized(setup: Setup) -> Backend:
    """`QuantizedKVCache` with 8 bits."""
    return Quantized(of_class("QuantizedKVCache", setup, 32, 8))


def chunked(setup: Setup) -> Backend:
    """`ChunkedKVCache`, asked whether it can be trimmed."""
    return Chunked(of_class("ChunkedKVCache", setup, setup.window), setup.window)


def concatenating(setup: Setup) -> Backend:
    """`ConcatenateKVCache`."""
    return Backend(of_class("ConcatenateKVCache", setup))


def rotating(setup: Setup) -> Backend:
    """`RotatingKVCache` in a model whose layers have a window."""
    return Backend(of_class("RotatingKVCache", setup, setup.window), setup.window)


def rotating_trimmed(setup: Setup) -> Backend:
    """The same, trimmed without asking `is_trimmable`."""
    held = of_class("RotatingKVCache", setup, setup.window)
    return Backend(held, setup.window, asks_first=False)


def rotating_keep(setup: Setup) -> Backend:
    """`RotatingKVCache` as ``max_kv_size=`` makes it: sinks, and no window in the model."""
    size = setup.window + setup.sink_tokens
    return Backend(of_class("RotatingKVCache", setup, size, setup.sink_tokens))


for _factory, _supports in {
    kv: APPEND,
    kv_negative: APPEND,
    quantized: replace(APPEND, head_dims=(32,), dtypes=("float32",), special_values=False),
    chunked: replace(RING, row_order="temporal"),
    concatenating: APPEND,
    kv_window: replace(RING, truncate="at_least"),
    rotating: RING,
    rotating_trimmed: RING,
    # The queries of a chunk share one window of rows, sinks counted as rows of it.
    rotating_keep: replace(RING, most_sink_tokens=2, eviction="lazy", long_prompt="misses_sinks"),
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
