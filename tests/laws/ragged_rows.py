"""Ragged updates whose rows say where they come from.

The key of a row is 100 b + p for position p of batch row b, and its value half more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring import (
    Circular,
    KVCache,
)
from tests.by_hand import settle

WORKED_EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)
PADDING = -7.0


def new_rows(cache: KVCache, counts: list[int], width: int, padding: str) -> Any:
    """The next tokens of each batch row in layer 0, with padding that is no row of anybody."""
    keys = np.full((cache.batch, width, 1, 1), PADDING, np.float32)
    for batch_row, count in enumerate(counts):
        first = 0 if padding == "right" else width - count
        start = int(cache.seq_lens[0, batch_row]) + 100 * batch_row
        keys[batch_row, first : first + count, 0, 0] = np.arange(start, start + count)
    return keys, keys + 0.5


def take(cache: KVCache, *counts: int, width: int = 0, padding: Any = "right", **more: Any) -> Any:
    """A ragged update of layer 0."""
    rows = new_rows(cache, list(counts), width or max(counts), padding)
    view = cache.update(0, *rows, token_counts=counts, padding=padding, **more)
    settle(cache)
    return view


def rows_of(view: Any, batch_row: int) -> list[int]:
    """The positions of the rows that one batch row shows, read off its keys."""
    keys, values = view.batch_row(batch_row)
    assert (values == keys + 0.5).all()
    return [int(key) - 100 * batch_row for key in keys.ravel()]


def held(cache: KVCache) -> list[list[int]]:
    """What each batch row shows its newest token."""
    view = cache.read(0)
    return [rows_of(view, batch_row) for batch_row in range(cache.batch)]
