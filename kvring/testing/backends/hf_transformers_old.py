"""Caches that only older releases of Hugging Face transformers have, as their models use them."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig

from ..observations import Rows, UnsupportedError
from ..setup import Setup
from .common import SLIDING
from .hf_transformers import Backend, needed

__all__ = ["hybrid", "sink", "sliding_window", "sliding_window_chunks"]

LONG = 64  # longer than any history


class Sliding(Backend):
    """`SlidingWindowCache`: a prompt longer than the window comes back whole."""

    newest = 0

    def fitting(self, mask: Any, rows: int) -> Any:
        """The window of Mistral's mask, rows oldest first; rows not written yet are masked."""
        newest = max(self.seen)
        queries = np.arange(newest - self.newest, newest)[:, None]
        first = max(newest, rows) - rows
        positions = np.arange(first, first + rows)
        return (positions <= queries) & (positions > queries - self.window)

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """As always."""
        self.newest = keys.shape[2]
        return super().update(layer, keys, values)

    def mask(self, layer: int, tokens: int) -> Any:
        """There are no sizes to ask for."""
        return None

    def seq_len(self, layer: int) -> int:
        """The model counts by itself, in `cache_position`."""
        return self.seen[layer]


class Sinks(Sliding):
    """`SinkCache`: rows are the sinks and the newest, all of which are seen by causality."""

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """A model goes through its layers in order."""
        if layer > len(self.cache.key_cache):
            raise UnsupportedError("the layers before it come first")
        return super().update(layer, keys, values)

    def fitting(self, mask: Any, rows: int) -> Any:
        """Queries are the newest rows."""
        return np.arange(rows) <= np.arange(rows - self.newest, rows)[:, None]


def sliding_window(setup: Setup) -> Sliding:
    """`SlidingWindowCache`, made of a model's configuration."""
    return Sliding(configured("SlidingWindowCache", setup), setup)


def sliding_window_chunks(setup: Setup) -> Sliding:
    """The same, filled by chunks alone."""

    class Chunks(Sliding):
        def update(self, layer: int, keys: Any, values: Any) -> Rows:
            if keys.shape[2] == 1:
                raise UnsupportedError("single tokens are left to others")
            return super().update(layer, keys, values)

    return Chunks(configured("SlidingWindowCache", setup), setup)


def hybrid(setup: Setup) -> Sliding:
    """`HybridCache` of which every layer is one with a window."""
    backend = Sliding(configured("HybridCache", setup, sliding_window_pattern=LONG), setup)
    backend.options = {"sliding_window": setup.window}
    return backend


def configured(name: str, setup: Setup, **options: Any) -> Any:
    """A cache made of a model's configuration."""
    kind = needed(name)
    config = PretrainedConfig(
        num_hidden_layers=setup.layers,
        num_attention_heads=setup.kv_heads,
        num_key_value_heads=setup.kv_heads,
        hidden_size=setup.kv_heads * setup.head_dim,
        head_dim=setup.head_dim,
        sliding_window=setup.window,
        **options,
    )
    known = inspect.signature(kind.__init__).parameters
    given = {"max_batch_size": setup.batch, "batch_size": setup.batch, "device": "cpu"}
    given["dtype"] = getattr(torch, setup.dtype)
    passed = {name: value for name, value in given.items() if name in known}
    return kind(config, max_cache_len=LONG, **passed)


def sink(setup: Setup) -> Sinks:
    """`SinkCache`: its window counts the sinks."""
    kind = needed("SinkCache")
    arguments = {"window_length": setup.window + setup.sink_tokens}
    return Sinks(kind(num_sink_tokens=setup.sink_tokens, **arguments), setup)


sliding_window.supports = SLIDING  # type: ignore[attr-defined]
sliding_window_chunks.supports = SLIDING  # type: ignore[attr-defined]
hybrid.supports = SLIDING  # type: ignore[attr-defined]
sink.supports = replace(  # type: ignore[attr-defined]
    SLIDING,
    most_sink_tokens=2,
    eviction="lazy",
    long_prompt="sees_all",
)
