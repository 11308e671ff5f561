"""Helpers for all tests: rows whose content is their name, and poison for what must not be read.

The name of a token is the bytes of its K and V, over all batch rows and heads. Names are compared
as bytes, never as numbers, so that NaN payloads and the sign of zero count too (law 9).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvring.config import CacheConfig, Circular, Layout, Mode
from kvring.reference import ReferenceCache

Array = NDArray[Any]
ROOT = Path(__file__).parents[1]
WORKED_EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)  # of the contract
POISON_BYTE = 0xFF  # NaN in every float dtype; no row made here contains it


def token_axis(layout: Layout) -> int:
    """Which axis of K and V counts tokens."""
    return 1 if layout == "BSHD" else 2


def rows_shape(config: CacheConfig, layer: int, count: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of K and V of `count` tokens in the cache's layout."""
    of_layer = config.layers[layer]
    axes = [config.batch, of_layer.kv_heads]
    axes.insert(token_axis(config.layout), count)
    return (*axes, of_layer.head_dim), (*axes, of_layer.value_dim)


def make_rows(
    config: CacheConfig, layer: int, first_position: int, count: int, *, history: int = 0
) -> tuple[Array, Array]:
    """K and V of `count` tokens, in the cache's dtype and layout, of bytes that look random.

    The bytes of a token depend on its position, its layer, K or V, and `history`: another number
    for tokens that take the place of truncated ones. The same arguments give the same bytes.

    Examples
    --------
    >>> from kvring.config import Append, CacheConfig
    >>> config = CacheConfig.build(layers=1, kv_heads=2, head_dim=3, strategy=Append(8), batch=4)
    >>> keys, values = make_rows(config, layer=0, first_position=5, count=7)
    >>> keys.shape
    (4, 7, 2, 3)
    >>> later_keys, _ = make_rows(config, layer=0, first_position=6, count=1)
    >>> later_keys.tobytes() == keys[:, 1:2].tobytes()
    True
    """
    of_layer = config.layers[layer]
    positions = range(first_position, first_position + count)
    made = []
    for kind, dim in (("K", of_layer.head_dim), ("V", of_layer.value_dim)):
        row_shape = (config.batch, of_layer.kv_heads, dim)
        nbytes = int(np.prod(row_shape)) * config.dtype.itemsize
        names = [
            _name_bytes(f"{history} {kind} {layer} {position}", nbytes) for position in positions
        ]
        rows = np.frombuffer(b"".join(names), np.uint8).view(config.dtype)
        rows = rows.reshape(count, *row_shape)
        made.append(np.moveaxis(rows, 0, token_axis(config.layout)).copy())
    return made[0], made[1]


def token_names(keys: Array, values: Array, layout: Layout) -> list[bytes]:
    """The name of each token of K and V: its bytes over all batch rows, heads and elements."""
    names = [
        [row.tobytes() for row in np.moveaxis(array, token_axis(layout), 0)]
        for array in (keys, values)
    ]
    return [key + value for key, value in zip(*names, strict=True)]


def poison(cache: Any) -> None:
    """Fill every slot that holds no resident row, in K and V of every layer, with `POISON_BYTE`.

    In each batch row its own, where they differ.

    A test that calls it after each step finds out whether anything is read that nobody wrote, or
    that is gone.
    """
    config: CacheConfig = cache.config
    axis = token_axis(config.layout) - 1
    for layer, ring in enumerate(cache.rings):
        slots = np.atleast_2d(cache.slots(layer))  # a line for each batch row, or for all
        for array in (ring._keys, ring._values):
            # Words, not numbers: the bytes of a NaN need not survive an assignment.
            for batch_row, words in enumerate(array.view(f"u{config.dtype.itemsize}")):
                held = slots[batch_row % len(slots)]
                unused = np.ones(ring.capacity, bool)
                unused[held[held >= 0]] = False
                np.moveaxis(words, axis, 0)[unused] = _poison_word(config.dtype.itemsize)


def make_reference(*strategies: Mode, batch: int = 1) -> ReferenceCache:
    """An empty reference with one layer per strategy."""
    config = CacheConfig.build(
        layers=len(strategies), kv_heads=1, head_dim=1, strategy=strategies, batch=batch
    )
    return ReferenceCache(config)


def filled_reference(strategy: Mode, tokens: int) -> ReferenceCache:
    """A reference of one layer, whose rows are the numbers of their positions."""
    cache = make_reference(strategy)
    cache.update(0, list(range(tokens)))
    return cache


def reference_state(cache: ReferenceCache) -> list[Any]:
    """All that a refused call must leave as it was."""
    layers = range(len(cache.config.layers))
    return [cache.seq_lens, [(cache.positions(layer), cache.rows(layer)) for layer in layers]]


def _poison_word(nbytes: int) -> int:
    return int.from_bytes(bytes([POISON_BYTE]) * nbytes, "little")


def _name_bytes(name: str, nbytes: int) -> bytes:
    """`nbytes` bytes that depend on all of `name`, none of them the poison."""
    return hashlib.shake_128(name.encode()).digest(nbytes).replace(bytes([POISON_BYTE]), b"\0")
