"""Caches of mlx-lm for sequences of different lengths, used as its batch generator uses them.

Prompts are padded on the left of an empty cache, or on the right between `prepare` and
`finalize`; sequences come and go with `extend` and `filter`, and are made of single caches and
taken apart again with `merge` and `extract`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from mlx_lm.models import cache

from ..observations import Rows, UnsupportedError
from ..setup import Setup
from .mlx_caches import APPEND, RING, fetched, needed, through_file

__all__ = ["Batch", "Requests", "batch_kv", "batch_rotating", "merged_kv", "merged_rotating"]


class Batch:
    """One batch cache per layer behind the adapter's methods.

    Parameters
    ----------
    caches : list
        One of mlx-lm's batch caches per layer.
    finalizes : {"at once", "later"}
        Whether a padded prompt is finalized before anything else happens, or before the next
        update.
    """

    def __init__(self, caches: list[Any], finalizes: str = "at once") -> None:
        self.caches, self.finalizes = caches, finalizes

    def update(
        self,
        layer: int,
        keys: Any,
        values: Any,
        token_counts: list[int] | None = None,
        padding: str = "right",
    ) -> Rows:
        """What attention gets."""
        held, tokens = self.caches[layer], keys.shape[2]
        counts = token_counts or [tokens] * len(keys)
        lacking = [tokens - count for count in counts]
        padded = any(lacking)
        self.check_padding(held, tokens, padded, padding)
        if self.finalizes == "later":
            held.finalize()
        if padded and padding == "left":
            held.prepare(left_padding=lacking)
        elif padded:
            held.prepare(lengths=counts, right_padding=lacking)
        shown = Rows(*fetched(held, keys, values))
        if self.finalizes == "at once" and padded:
            held.finalize()
        return shown

    def check_padding(self, held: Any, tokens: int, padded: bool, padding: str) -> None:
        """Padding is for prompts, and on the left for the first alone."""
        if padded and not hasattr(held, "finalize"):
            raise UnsupportedError("this release has no prepare and finalize")
        if padded and tokens == 1:
            raise UnsupportedError("one token is taken for generation, which has no padding")
        if padded and padding == "left" and held.keys is not None:
            raise UnsupportedError("padding on the left is for empty caches")

    def seq_len(self, layer: int) -> Any:
        """Tokens seen, per batch row."""
        if self.finalizes == "later":
            raise UnsupportedError("counters are right after finalize")
        return np.array(self.caches[layer].offset)

    def truncate(self, seq_len: int | list[int]) -> None:
        """`trim` by the same number of tokens in all batch rows."""
        if self.finalizes == "later":
            raise UnsupportedError("counters are right after finalize")
        backs = {n for layer in self.caches for n in (np.array(layer.offset) - seq_len).tolist()}
        if len(backs) > 1:
            raise UnsupportedError("all batch rows are trimmed alike")
        (back,) = backs
        if back < 0:
            raise IndexError("there is nothing to trim")
        if back and not cache.trim_prompt_cache(self.caches, back):
            raise RuntimeError("nothing was trimmed")

    def copy(self) -> Batch:
        """As the server's prompt cache copies them."""
        return copy.deepcopy(self)

    def save_and_load(self) -> Batch:
        """Through a file."""
        return type(self)(through_file(self.caches), self.finalizes)

    def select(self, batch_rows: list[int]) -> None:
        """As finished sequences leave."""
        for held in self.caches:
            held.filter(batch_rows)

    def add_batch_rows(self, other: Batch) -> None:
        """As new sequences join."""
        for held, others in zip(self.caches, other.caches, strict=True):
            held.extend(others)


class Position(Batch):
    """What `offset` is, as the rotary embedding gets it."""

    def next_position(self, layer: int) -> Any:
        """The very object."""
        return self.caches[layer].offset


class Restored(Batch):
    """Goes on with a new cache that is given the state of the old one."""

    def save_and_load(self) -> Batch:
        """Through `state`, and `meta_state` where a release has it."""
        restored = []
        for held in self.caches:
            if held.keys is None:
                raise UnsupportedError("nothing to save")
            new = type(held)(held.max_size, [0] * len(held.keys))
            for name in ("state", "meta_state"):
                if hasattr(held, name):
                    setattr(new, name, getattr(held, name))
            restored.append(new)
        return Restored(restored, self.finalizes)


class Requests:
    """Every sequence in a single cache until `merge`, in a batch cache until `extract`.

    Both stand behind `save_and_load`, which goes to and fro.
    """

    def __init__(self, layers: list[list[Any]], window: int | None) -> None:
        self.layers, self.window = layers, window
        self.merged: Batch | None = None

    def update(
        self,
        layer: int,
        keys: Any,
        values: Any,
        token_counts: list[int] | None = None,
        padding: str = "right",
    ) -> Rows:
        """Each sequence by itself, or all together."""
        if self.merged is not None:
            return self.merged.update(layer, keys, values, token_counts, padding)
        tokens = keys.shape[2]
        counts = token_counts or [tokens] * len(keys)
        shown = Rows([], [], [])
        for held, count, k, v in zip(self.layers[layer], counts, keys, values, strict=True):
            one_keys, one_values = k[:, :0], v[:, :0]
            mask = np.zeros((tokens, 0), bool)
            if count:
                seen = fetched(held, k[None, :, :count], v[None, :, :count], self.window)
                one_keys, one_values = seen[0][0], seen[1][0]
                mask = np.zeros((tokens, one_keys.shape[1]), bool)
                mask[:count] = seen[2]
            shown.keys.append(one_keys)
            shown.values.append(one_values)
            shown.mask.append(mask)
        return shown

    def seq_len(self, layer: int) -> Any:
        """Tokens seen, per batch row."""
        if self.merged is not None:
            return self.merged.seq_len(layer)
        return np.array([held.offset for held in self.layers[layer]])

    def save_and_load(self) -> Requests:
        """`merge`, or `extract` of every sequence."""
        again = Requests(self.layers, self.window)
        if self.merged is None:
            if not all(any(held.offset for held in rows) for rows in self.layers):
                raise UnsupportedError("nothing to merge")
            again.merged = Batch([self.merge(rows) for rows in self.layers])
        elif any(held.keys is None for held in self.merged.caches):
            raise UnsupportedError("nothing to extract")
        else:
            again.layers = [
                [held.extract(row) for row in range(len(held.keys))] for held in self.merged.caches
            ]
        return again

    def merge(self, rows: list[Any]) -> Any:
        """The batch cache of one layer."""
        kind = type(rows[0])
        of_batches = getattr(cache, f"Batch{kind.__name__}", None)
        merges: list[Any] = [having for having in (kind, of_batches) if hasattr(having, "merge")]
        if not merges:
            raise UnsupportedError("this release has no merge")
        return merges[0].merge(rows)


def batch_kv(setup: Setup) -> Batch:
    """`BatchKVCache`."""
    kind = needed("BatchKVCache")
    return Batch([kind([0] * setup.batch) for _ in setup.strategies])


def batch_rotating(setup: Setup) -> Batch:
    """`BatchRotatingKVCache`."""
    kind = needed("BatchRotatingKVCache")
    return Batch([kind(setup.window, [0] * setup.batch) for _ in setup.strategies])


def batch_rotating_state(setup: Setup) -> Batch:
    """`BatchRotatingKVCache`, saved as its state alone."""
    return Restored(batch_rotating(setup).caches)


def batch_rotating_saved(setup: Setup) -> Batch:
    """The same, with nothing but updates, saving and loading."""
    return batch_rotating_state(setup)


def batch_kv_later(setup: Setup) -> Batch:
    """`BatchKVCache`, with what happens between `prepare` and `finalize`."""
    return Batch(batch_kv(setup).caches, "later")


def batch_rotating_later(setup: Setup) -> Batch:
    """`BatchRotatingKVCache`, with what happens between `prepare` and `finalize`."""
    return Batch(batch_rotating(setup).caches, "later")


def batch_position(setup: Setup) -> Batch:
    """`BatchKVCache`, with its `offset` looked at as it comes."""
    return Position(batch_kv(setup).caches)


def merged_kv(setup: Setup) -> Requests:
    """`KVCache` per sequence, and their batch."""
    kind = needed("KVCache")
    return Requests([[kind() for _ in range(setup.batch)] for _ in setup.strategies], None)


def merged_rotating(setup: Setup) -> Requests:
    """`RotatingKVCache` per sequence, and their batch."""
    kind = needed("RotatingKVCache")
    rows = [[kind(setup.window) for _ in range(setup.batch)] for _ in setup.strategies]
    return Requests(rows, setup.window)


_SAVED_ALONE = dict.fromkeys(("truncate", "copy", "select", "add_batch_rows"), "left to others")
_NOT_BETWEEN = {**APPEND.without, "save": "not in between"}
for _factory, _supports in {
    batch_kv: replace(APPEND, ragged=("right", "left")),
    batch_position: replace(APPEND, ragged=("right", "left")),
    batch_rotating: replace(RING, ragged=("right", "left")),
    batch_rotating_state: replace(RING, ragged=("right", "left")),
    batch_rotating_saved: replace(RING, without={**RING.without, **_SAVED_ALONE}),
    batch_kv_later: replace(APPEND, ragged=("right",), without=_NOT_BETWEEN),
    batch_rotating_later: replace(RING, ragged=("right",), without=_NOT_BETWEEN),
    merged_kv: replace(APPEND, ragged=("right",)),
    merged_rotating: replace(RING, ragged=("right",)),
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
