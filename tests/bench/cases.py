"""What is measured: kvring beside bare NumPy doing the same work."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from kvring import Append, Circular, KVCache
from kvring.bench import Contestant
from kvring.memory import reserve

__all__ = [
    "RESIDENT_MEMORY",
    "Bare",
    "assembled_prefill",
    "decode",
    "filled",
    "fresh_prefill",
    "full_reads",
    "warm_prefill",
]

# Run in a process of its own: prints the seconds that construction took, and the bytes resident
# beyond those of the rows after 1 token and after 128.
RESIDENT_MEMORY = """
import sys
from time import perf_counter
import numpy as np
from kvring import Append, KVCache, warm_up

layout = sys.argv[1]

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

def new_cache(layers, tokens):
    mode = Append(tokens)
    return KVCache(layers=layers, kv_heads=3, head_dim=64, strategy=mode, layout=layout)

def rows(tokens):
    axes = [1, 3, 64]
    axes.insert(layout.index("S"), tokens)
    return np.ones(axes, np.float32)

one, many = rows(1), rows(127)
warm_up("float32")
first = new_cache(1, 200)
for given in (one, many):
    first.update(0, given, given)

started = perf_counter()
cache = new_cache(30, 1_000_000)
seconds = perf_counter() - started
before = resident()
beyond = []
for given in (one, many):
    for layer in range(30):
        cache.update(layer, given, given)
    beyond.append(resident() - before - cache.nbytes_used)
print(seconds, *beyond)
"""

STEPS = 5


@dataclass
class Bare:
    """Preallocated arrays and slice assignments: what a cache can hope to be as fast as."""

    keys: list[np.ndarray]
    values: list[np.ndarray]

    @classmethod
    def make(cls, layers: int, tokens: int, kv_heads: int, head_dim: int, dtype: str) -> Bare:
        """Arrays whose pages have all been touched."""
        shape = (1, tokens, kv_heads, head_dim)
        both = [[np.ones(shape, dtype) for _ in range(layers)] for _ in range(2)]
        return cls(*both)


def filled(
    mode: Append | Circular, layers: int, shape: tuple[int, int], dtype: str, tokens: int
) -> KVCache:
    """A cache that has taken `tokens` tokens, so that the pages of its slots are touched."""
    cache = KVCache(layers=layers, kv_heads=shape[0], head_dim=shape[1], dtype=dtype, strategy=mode)
    chunk = np.ones((1, min(tokens, 2048), *shape), dtype)
    for layer in range(layers):
        for start in range(0, tokens, chunk.shape[1]):
            rows = chunk[:, : tokens - start]
            cache.update(layer, rows, rows)
    return cache


def decode(cache: KVCache, bare: Bare, row: np.ndarray) -> dict[str, Contestant]:
    """One token at a time into all layers in turn: bare writes, update, and both with slices.

    All go on from slot to slot as a decode loop does: a ring round and round, an append cache
    through slots that were filled and truncated before, and the bare writes round their arrays.
    """
    layers, slots = range(cache.layers), bare.keys[0].shape[1]
    order = "physical" if cache.room is None else "temporal"
    bare_steps = count()

    def bare_writes() -> None:
        for _ in range(STEPS):
            slot = next(bare_steps) % slots
            for keys, values in zip(bare.keys, bare.values, strict=True):
                keys[:, slot : slot + 1] = row
                values[:, slot : slot + 1] = row

    def bare_writes_and_slices() -> None:
        for _ in range(STEPS):
            slot = next(bare_steps) % slots
            for keys, values in zip(bare.keys, bare.values, strict=True):
                keys[:, slot : slot + 1] = row
                values[:, slot : slot + 1] = row
                keys[:, :slots], values[:, :slots]

    def update() -> None:
        for _ in range(STEPS):
            for layer in layers:
                cache.update(layer, row, row, order=order)

    def update_and_unpack() -> None:
        for _ in range(STEPS):
            for layer in layers:
                _keys, _values = cache.update(layer, row, row, order=order)

    return {
        "bare": Contestant(bare_writes),
        "update": Contestant(update),
        "bare, sliced": Contestant(bare_writes_and_slices),
        "update, unpacked": Contestant(update_and_unpack),
    }


def fresh_prefill(
    mode: Append | Circular, layers: int, rows: np.ndarray, *, huge_pages: bool = False
) -> dict[str, Contestant]:
    """A prompt into memory that nobody has touched: the cost of the pages is in it.

    Here and below `rows` are keys and values of all layers, ``(2, 1, tokens, kv_heads, dim)``.
    """
    made: dict[str, Any] = {}

    def new_cache() -> None:
        made["cache"] = _empty(mode, layers, rows, huge_pages=huge_pages)

    def new_arrays() -> None:
        reserved = reserve(layers * rows.nbytes, huge_pages=huge_pages).view(rows.dtype)
        made["arrays"] = reserved.reshape(layers, *rows.shape)

    return {
        "copyto": Contestant(lambda: _copy(made["arrays"], rows), new_arrays),
        "update": Contestant(lambda: _update(made["cache"], rows), new_cache),
    }


def warm_prefill(mode: Append | Circular, layers: int, rows: np.ndarray) -> dict[str, Contestant]:
    """The same into memory that has been written before."""
    cache = _empty(mode, layers, rows)
    arrays = reserve(layers * rows.nbytes).view(rows.dtype).reshape(layers, *rows.shape)
    arrays[:] = 1
    return {
        "copyto": Contestant(lambda: _copy(arrays, rows)),
        "update": Contestant(lambda: _update(cache, rows), cache.reset),
    }


def assembled_prefill(window: int, layers: int, rows: np.ndarray) -> dict[str, Contestant]:
    """A chunk into full rings that needs assembled views, beside copying its rows once.

    Of what the update writes, a quarter goes into slots of the layer and the rest into a new view;
    the copy's rows go to memory of the same two kinds in the same proportion.
    """
    _, _, tokens, *shape = rows.shape
    cache = filled(Circular(window, 4), layers, tuple(shape), rows.dtype.name, window + 4)
    slots = np.ones((layers, 2, 1, window + 4, *shape), rows.dtype)
    view_shape = (2, 1, tokens + window + 3, *shape)
    into_view = tokens * 3 // 4

    def copy() -> None:
        for layer in range(layers):
            for view, stored, source in zip(
                np.empty(view_shape, rows.dtype), slots[layer], rows, strict=True
            ):
                np.copyto(view[:, :into_view], source[:, :into_view])
                np.copyto(stored[:, : tokens - into_view], source[:, into_view:])

    return {"copyto": Contestant(copy), "update": Contestant(lambda: _update(cache, rows))}


def _copy(arrays: np.ndarray, rows: np.ndarray) -> None:
    for keys, values in arrays:
        np.copyto(keys, rows[0])
        np.copyto(values, rows[1])


def _update(cache: KVCache, rows: np.ndarray) -> None:
    for layer in range(cache.layers):
        cache.update(layer, *rows)


def _empty(
    mode: Append | Circular, layers: int, rows: np.ndarray, *, huge_pages: bool = False
) -> KVCache:
    return KVCache(
        layers=layers,
        kv_heads=rows.shape[3],
        head_dim=rows.shape[4],
        dtype=rows.dtype,
        strategy=mode,
        huge_pages=huge_pages,
    )


def full_reads(tokens: int, shape: tuple[int, int]) -> dict[str, Contestant]:
    """Reading all keys and values once, as attention does, from small pages and from huge ones."""
    contestants = {}
    rows = np.random.default_rng(0).random((1, tokens, *shape), np.float32)
    query = np.ones(shape[0] * shape[1], np.float32)
    for name, huge_pages in (("small", False), ("huge", True)):
        cache = KVCache(
            layers=1,
            kv_heads=shape[0],
            head_dim=shape[1],
            strategy=Append(tokens),
            huge_pages=huge_pages,
        )
        keys, values = (array.reshape(tokens, -1) for array in cache.update(0, rows, rows))
        contestants[name] = Contestant(lambda k=keys, v=values: (k @ query, v @ query))
    return contestants
