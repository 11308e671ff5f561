"""Caches in every state that can be saved, and what makes two of them the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kvring import FIFO, LRU, Append, Circular, HeavyHitter, KVCache, KVRingError, Replace
from kvring.strategy import EvictingStrategy
from tests.often import often
from tests.support import make_rows, poison

WIDTHS: dict[str, Any] = {"kv_heads": 2, "head_dim": 4, "value_dim": 3}
DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "complex64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
)
MODES = (
    *(Append(40), Replace(9), Circular(4, sink_tokens=1, rollback_tokens=2), Circular(5)),
    *(Append(7, FIFO(), 2), Append(7, LRU()), Append(7, LRU(0.3), 1), Append(7, HeavyHitter(2), 1)),
)


def build(*modes: Any, **options: Any) -> KVCache:
    """A cache with one layer per mode."""
    return KVCache(layers=len(modes), strategy=modes, **{**WIDTHS, **options})


def advance(cache: KVCache, tokens: int, history: int = 0, *, layers: Any = None) -> list[Any]:
    """Tokens one by one, weights for those who listen; what each update showed."""
    shown = []
    for _ in range(tokens):
        for layer in range(cache.layers) if layers is None else layers:
            position = int(cache.seq_lens[layer].max())
            if isinstance(cache.config.layers[layer].strategy, Replace):
                history, position = history + position, 0
            try:
                keys, values = make_rows(cache.config, layer, position, 1, history=history)
                view = cache.update(layer, keys, values)
            except KVRingError as error:
                shown.append(str(error))
                continue
            seen = view.keys.tobytes(), view.values.tobytes()
            shown += [view.positions.tolist(), view.evicted.tolist(), seen]
            if isinstance(cache._strategies[layer], EvictingStrategy):
                cache.observe(view, weights_for(cache, view, position))
    return shown


def weights_for(cache: KVCache, view: Any, seed: int) -> Any:
    """Attention weights of two query heads per KV head."""
    shape = cache.batch, 2 * WIDTHS["kv_heads"], 1, view.row_count
    weights = np.random.default_rng(seed).random(shape) + 0.01
    return weights / weights.sum(axis=-1, keepdims=True)


def in_every_mode(**options: Any) -> KVCache:
    """One layer of each mode, wrapped, evicted from and pinned."""
    cache = build(*MODES, **options)
    advance(cache, 11)
    cache.pin([10])
    return cache


def cut_back(**options: Any) -> KVCache:
    """Rings that have been truncated, and so hold fewer rows than they could."""
    cache = build(*MODES[:4], **options)
    advance(cache, 12, layers=[0, 2, 3])
    cache.reset()
    advance(cache, 9, 1, layers=[2])
    advance(cache, 3, 1, layers=[0, 1, 3])
    cache.rings[2]._settle(cache._strategies[2].rest(truncated(cache, 2, 7), {}))
    return cache


def truncated(cache: KVCache, layer: int, seq_len: int) -> Any:
    """The state of one layer after a truncate of its own."""
    state = cache.rings[layer].state
    return cache._strategies[layer].truncate(state, seq_len, state.epoch + 1)


def with_holes(**options: Any) -> KVCache:
    """Rows dropped by hand from the middle and from the end of the slots."""
    cache = build(*MODES[4:], **options)
    advance(cache, 6)
    cache.evict([2, 3, 5])
    cache.pin([4])
    return cache


def uneven(**options: Any) -> KVCache:
    """Layers that have seen different numbers of tokens, one of them none."""
    cache = build(*MODES, **options)
    for layer in range(1, len(MODES)):
        advance(cache, layer, layers=[layer])
    return cache


def empty(**options: Any) -> KVCache:
    """Nothing."""
    return build(*MODES, **options)


def ragged(**options: Any) -> KVCache:
    """Batch rows of different lengths, one of them empty, in every mode."""
    cache = build(*MODES, **{**options, "batch": 4})
    for history, counts in enumerate(([3, 0, 5, 1], [5, 0, 4, 2], [4, 0, 1, 0])):
        for layer in range(cache.layers):
            rows = make_rows(cache.config, layer, 0, 5, history=history)
            padding: Any = ("left", "right")[history % 2]
            cache.update(layer, *rows, token_counts=counts, padding=padding)
    return cache


def rearranged(**options: Any) -> KVCache:
    """Batch rows that came from elsewhere, in layers that were resized."""
    cache = ragged(**options)
    cache.reorder([2, 2, 0, 3])
    cache.add_batch_rows(cache.copy())
    cache.select([0, 5, 2])
    cache.resize(capacity=50, window=4, rollback_tokens=4)
    advance(cache, 2)
    return cache


STATES: dict[str, Callable[..., KVCache]] = {
    of.__name__: of
    for of in (empty, in_every_mode, cut_back, with_holes, uneven, ragged, rearranged)
}


def assert_same(one: KVCache, other: KVCache) -> None:
    """All that anybody could see of two caches, and all that will matter later."""
    other.check()
    assert one.config == other.config
    assert one._huge_pages == other._huge_pages
    for layer, (ring, twin) in enumerate(zip(one.rings, other.rings, strict=True)):
        assert ring.state == twin.state
        np.testing.assert_array_equal(one.positions(layer), other.positions(layer))
        np.testing.assert_array_equal(one.slots(layer), other.slots(layer))
        for order in ("temporal", "physical"):
            assert_shows_the_same(one.read(layer, order=order), other.read(layer, order=order))
        assert_remembers_the_same(one._strategies[layer], other._strategies[layer])


def assert_shows_the_same(view: Any, twin: Any) -> None:
    """Two views, bit for bit; of dead slots only that they are dead."""
    np.testing.assert_array_equal(view.positions, twin.positions)
    np.testing.assert_array_equal(view.mask(), twin.mask())
    positions = np.broadcast_to(view.positions, (view.keys.shape[0], view.row_count))
    axis = 1 if view.layout == "BSHD" else 2
    for mine, its in ((view.keys, twin.keys), (view.values, twin.values)):
        assert mine.dtype == its.dtype
        assert mine.shape == its.shape
        for batch_row, live in enumerate(positions >= 0):
            rows = np.moveaxis(mine[batch_row], axis - 1, 0)[live]
            assert rows.tobytes() == np.moveaxis(its[batch_row], axis - 1, 0)[live].tobytes()


def assert_remembers_the_same(strategy: Any, twin: Any) -> None:
    """Pins, clocks and numbers of two layers with eviction."""
    if not isinstance(strategy, EvictingStrategy):
        return
    assert strategy.catch_up().pins == twin.catch_up().pins
    assert strategy.tracker.stamp == twin.tracker.stamp
    for batch_row, row in enumerate(strategy.table.positions):
        slots = np.flatnonzero(row >= 0)
        mine, its = (s.tracker.remembered(batch_row, slots) for s in (strategy, twin))
        assert mine.tobytes() == its.tobytes()


def assert_goes_on_the_same(one: KVCache, other: KVCache) -> None:
    """Both through the same calls, with every unused slot poisoned."""
    for history in range(1, 1 + often(2)):
        poison(one)
        poison(other)
        assert advance(one, 5, history) == advance(other, 5, history)
        assert_same(one, other)
        back = (one.seq_lens.min(axis=0) - 2).tolist()
        assert outcome_of_truncate(one, back) == outcome_of_truncate(other, back)
        assert one.room == other.room
        assert tokens_apart(one, history) == tokens_apart(other, history)
        assert_same(one, other)


def tokens_apart(cache: KVCache, history: int) -> list[Any]:
    """An update that brings each batch row its own number of tokens."""
    counts = [(history + batch_row) % 3 for batch_row in range(cache.batch)]
    shown = []
    for layer in range(cache.layers):
        rows = make_rows(cache.config, layer, 0, 2, history=100 + history)
        try:
            view = cache.update(layer, *rows, token_counts=counts)
            shown += [view.positions.tolist(), view.keys.tobytes(), view.mask().tolist()]
        except KVRingError as error:
            shown.append(str(error))
    return shown


def outcome_of_truncate(cache: KVCache, seq_len: Any) -> str:
    """What it said."""
    try:
        cache.truncate(seq_len)
    except KVRingError as error:
        return str(error)
    return "done"
