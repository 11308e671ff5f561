"""Caches of Hugging Face transformers, each as the models of the same release use it.

A model asks the cache for the sizes of its mask, applies the mask function of its layer type, and
hands the cache the new rows. What an installed release does not have is unsupported. The classes
that only older releases have are in :mod:`.hf_transformers_old`.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import cache_utils

from ..observations import Rows, UnsupportedError
from ..setup import Setup
from .common import GROWING, SLIDING, found_in

__all__ = [
    "Backend",
    "dynamic",
    "dynamic_sliding",
    "quantized",
    "recording",
    "static",
    "static_sliding",
]

LONG = 512
needed = partial(found_in, cache_utils)


class Backend:
    """A `Cache` behind the adapter's methods; `window` is that of its mask, 0 for none."""

    def __init__(self, cache: Any, setup: Setup) -> None:
        self.cache = cache
        self.window = setup.window
        self.seen = [0] * setup.layers
        self.options: dict[str, Any] = {}  # what the model hands over with every update

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """The rows that attention gets, and the mask that the model makes for them."""
        mask = self.mask(layer, keys.shape[2])
        place = torch.arange(self.seen[layer], self.seen[layer] + keys.shape[2])
        arrays = torch.from_numpy(keys.copy()), torch.from_numpy(values.copy())
        shown = self.cache.update(*arrays, layer, {"cache_position": place, **self.options})
        self.seen[layer] += keys.shape[2]
        new_keys, new_values = (array.numpy().copy() for array in shown)
        return Rows(new_keys, new_values, self.fitting(mask, new_keys.shape[2]))

    def mask(self, layer: int, tokens: int) -> Any:
        """``(tokens, rows)``, from the sizes that the cache says before the update."""
        sizes = getattr(self.cache, "get_mask_sizes", None)
        if sizes is None:
            return None
        first = int(self.cache.get_seq_length(layer))
        queries = torch.arange(first, first + tokens)
        by_place = "cache_position" in inspect.signature(sizes).parameters
        length, offset = sizes(queries if by_place else tokens, layer)
        rows = torch.arange(int(length)) + offset  # as the mask functions add them
        return seen_by(self.window)(0, 0, queries[:, None], rows[None]).numpy()

    def fitting(self, mask: Any, rows: int) -> Any:
        """Without sizes: every row, those of the same update by causality."""
        return mask

    def seq_len(self, layer: int) -> int:
        """Tokens seen."""
        return int(self.cache.get_seq_length(layer))

    def truncate(self, seq_len: int) -> None:
        """`crop` by a number of tokens, which all releases take the same way."""
        if not hasattr(self.cache, "crop"):
            raise UnsupportedError("this release has no crop")
        if getattr(self.cache, "is_croppable", True) is False:
            raise UnsupportedError("the cache says that it is not croppable")
        if len(set(self.seen)) > 1:
            raise UnsupportedError("all layers are cropped alike")
        back = self.seen[0] - seq_len
        if back < 0:
            raise IndexError("there is nothing to crop")
        if back:
            self.call("crop", -back)
        self.seen = [max(seen - back, 0) for seen in self.seen]

    def reset(self) -> None:
        """Forget everything."""
        self.call("reset")
        self.seen = [0] * len(self.seen)

    def copy(self) -> Backend:
        """As the documentation copies a prefilled cache."""
        return copy.deepcopy(self)

    def reorder(self, batch_rows: list[int]) -> None:
        """As beam search does."""
        self.call("reorder_cache", torch.tensor(batch_rows))

    def select(self, batch_rows: list[int]) -> None:
        """As contrastive search does."""
        self.call("batch_select_indices", torch.tensor(batch_rows))

    def repeat(self, times: int) -> None:
        """As contrastive search does."""
        self.call("batch_repeat_interleave", times)

    def call(self, name: str, argument: Any = None) -> None:
        """A method that the cache or, in newer releases, all of its layers must have."""
        layers = getattr(self.cache, "layers", [])
        if not all(hasattr(having, name) for having in (self.cache, *layers)):
            raise UnsupportedError(f"this release has no {name} for it")
        getattr(self.cache, name)(*([] if argument is None else [argument]))


def seen_by(window: int) -> Any:
    """The mask function that the models use."""
    try:
        from transformers import masking_utils
    except ImportError as error:
        raise UnsupportedError("this release has no mask functions") from error
    if window:
        return masking_utils.sliding_window_causal_mask_function(window)
    return masking_utils.causal_mask_function


class LowerRight(Backend):
    """Releases without mask sizes: queries are the newest rows, and see what is older."""

    newest = 0

    def fitting(self, mask: Any, rows: int) -> Any:
        """Causal, with the newest rows last."""
        if mask is not None:
            return mask
        return np.arange(rows) <= np.arange(rows - self.newest, rows)[:, None]

    def update(self, layer: int, keys: Any, values: Any) -> Rows:
        """As always."""
        self.newest = keys.shape[2]
        return super().update(layer, keys, values)


def of_layers(name: str, setup: Setup, **arguments: Any) -> Backend:
    """A `Cache` of layers of one class."""
    kind = needed(name)
    return Backend(needed("Cache")(layers=[kind(**arguments) for _ in setup.strategies]), setup)


def dynamic(setup: Setup) -> Backend:
    """`DynamicCache`, the default of `generate`."""
    return LowerRight(cache_utils.DynamicCache(), setup)


def dynamic_sliding(setup: Setup) -> Backend:
    """`DynamicSlidingWindowLayer`, the default of `generate` for models with a window."""
    return of_layers("DynamicSlidingWindowLayer", setup, sliding_window=setup.window)


def recording(setup: Setup) -> Backend:
    """The same after `activate_past_recording`, as assisted generation uses it."""
    backend = dynamic_sliding(setup)
    backend.call("activate_past_recording")
    return backend


def static(setup: Setup) -> Backend:
    """`StaticLayer`: preallocated, for compiled models; larger than any history."""
    return of_layers("StaticLayer", setup, max_cache_len=LONG)


def static_full(setup: Setup) -> Backend:
    """`StaticLayer` that is given more than fits."""
    return of_layers("StaticLayer", setup, max_cache_len=setup.capacity)


def static_sliding(setup: Setup) -> Backend:
    """`StaticSlidingWindowLayer`, for compiled models with a window."""
    arguments = {"max_cache_len": LONG, "sliding_window": setup.window}
    return of_layers("StaticSlidingWindowLayer", setup, **arguments)


def static_position(setup: Setup) -> Backend:
    """`StaticLayer` again, with what `get_seq_length` returns looked at as it comes."""

    class Position(Backend):
        def next_position(self, layer: int) -> Any:
            return self.cache.get_seq_length(layer)

    return Position(static(setup).cache, setup)


def quantized(setup: Setup) -> Backend:
    """`QuantizedLayer` with a quantizer that changes nothing, and 3 tokens kept apart."""

    class Identity(needed("QuantizedLayer")):  # type: ignore[misc]
        def _quantize(self, tensor: Any, axis: Any) -> Any:
            return tensor.clone()

        def _dequantize(self, tensor: Any) -> Any:
            return tensor

    layers = [Identity(residual_length=3) for _ in setup.strategies]
    return Backend(needed("Cache")(layers=layers), setup)


for _factory, _supports in {
    dynamic: GROWING,
    quantized: GROWING,
    static: GROWING,
    static_full: replace(GROWING, overflow="refused"),
    static_position: GROWING,
    dynamic_sliding: SLIDING,
    recording: SLIDING,
    static_sliding: SLIDING,
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
