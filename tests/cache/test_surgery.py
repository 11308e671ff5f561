"""Batch rows rearranged: as if each had a cache of its own, and nothing half done.

Keys say where a row comes from: position p of what was batch row b is 100 b + p, its value a half
more.
"""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest

from kvring import (
    Append,
    KVCache,
    ShapeError,
    StaleViewError,
)
from tests.beside import Beside
from tests.cache.numbered import MODES, RING, SEEN, add, held, made, numbered
from tests.often import often


def test_reorder_makes_each_batch_row_what_another_one_was() -> None:
    cache = made()
    cache.reorder([1, 1, 0, 3])
    assert held(cache) == held(cache, 1) == [SEEN[1], SEEN[1], SEEN[0], SEEN[3]]
    assert (cache.batch, cache.seq_len) == (4, 8)


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_any_reorder_is_right_with_circles_and_duplicates(layout: Any) -> None:
    chance = random.Random(0)
    for _ in range(often(60, at_least=12)):
        cache = made(batch=5, layout=layout, kv_heads=2, head_dim=2)
        before = held(cache)
        chosen = [chance.randrange(5) for _ in range(5)]
        if chance.random() < 0.5:
            chosen = chance.sample(range(5), 5)
        cache.reorder(chosen)
        assert held(cache) == [before[b] for b in chosen], chosen


def test_rows_longer_than_a_piece_turn_in_a_circle() -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=1024, batch=3, strategy=Append(400))
    keys = np.random.default_rng(0).random((3, 399, 1, 1024), np.float32)
    cache.update(0, keys, keys + 1)
    cache.reorder([1, 2, 0])
    view = cache.read(0)
    assert np.array_equal(view.keys, keys[[1, 2, 0]])
    assert np.array_equal(view.values, keys[[1, 2, 0]] + 1)


def test_select_keeps_batch_rows_in_the_order_given() -> None:
    cache = made()
    cache.select([2, 0])
    assert held(cache) == [SEEN[2], SEEN[0]]
    assert (cache.batch, cache.config.batch, cache.rings[0].batch) == (2, 2, 2)
    assert cache.seq_lens.tolist() == [[8, 8], [8, 8]]


def test_repeat_puts_equal_batch_rows_side_by_side() -> None:
    cache = made(batch=2)
    cache.repeat(3)
    assert held(cache) == [SEEN[0]] * 3 + [SEEN[1]] * 3
    assert cache.batch == 6


def test_add_batch_rows_appends_copies_of_those_of_the_other_cache() -> None:
    cache, other = made(batch=2), made(batch=3)
    other.select([2])
    cache.add_batch_rows(other)
    assert held(cache) == [SEEN[0], SEEN[1], SEEN[2]]
    other.reset()
    assert held(cache)[2] == SEEN[2]


def test_a_cache_can_be_added_to_itself() -> None:
    cache = made(batch=2)
    cache.add_batch_rows(cache)
    assert held(cache) == SEEN[:2] * 2


def test_batch_rows_that_were_one_go_their_own_ways() -> None:
    cache = made(batch=2)
    cache.repeat(2)
    add(cache, 8)
    assert held(cache) == [[0, 6, 7, 8], [0, 6, 7, 108], [100, 106, 107, 208], [100, 106, 107, 308]]


def test_one_batch_row_among_several_becomes_a_batch_of_one_and_goes_on() -> None:
    for mode in MODES.values():
        cache, alone = made(mode), made(mode, batch=1)
        cache.select([0])
        for position in (8, 9):
            assert held(cache) == held(alone)
            add(cache, position)
            add(alone, position)
        cache.repeat(2)
        add(cache, 10)
        add(alone, 10)
        assert held(cache)[:1] == held(alone)


# Nothing moves that need not


def test_the_identity_moves_no_byte() -> None:
    cache = made()
    where = [ring._keys.ctypes.data for ring in cache.rings]
    for ring in cache.rings:
        ring._keys.flags.writeable = False  # whoever wrote would be found out
        ring._values.flags.writeable = False
    cache.reorder([0, 1, 2, 3])
    cache.select([0, 1, 2, 3])
    cache.repeat(1)
    assert [ring._keys.ctypes.data for ring in cache.rings] == where
    for ring in cache.rings:
        ring._keys.flags.writeable = ring._values.flags.writeable = True
    assert held(cache) == SEEN


def test_slots_not_in_use_are_not_written() -> None:
    cache = made(Append(12))
    cache.rings[0]._keys[:, 8:] = np.arange(4).reshape(-1, 1, 1, 1)  # slots without a row
    cache.reorder([1, 1, 0, 3])
    assert cache.rings[0]._keys[:, 8:, 0, 0].tolist() == [[b] * 4 for b in range(4)]


def test_reorder_keeps_the_memory_and_select_and_repeat_give_the_old_one_back() -> None:
    cache = made()
    where = cache.rings[0]._keys.ctypes.data
    cache.reorder([3, 2, 1, 0])
    assert cache.rings[0]._keys.ctypes.data == where
    view = cache.read(0)
    for change in (lambda: cache.select([0, 1]), lambda: cache.repeat(2)):
        memory = weakref.ref(base_of(cache.rings[0]._keys))
        change()
        gc.collect()
        assert memory() is None, "the old memory is still there, although a stale view may be"
    assert cache.nbytes == made().nbytes
    with pytest.raises(StaleViewError):
        view.keys.any()


def base_of(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_arrays_taken_out_of_a_view_keep_what_they_look_at() -> None:
    cache = made()
    keys = cache.read(0, order="physical").keys
    before = keys.copy()
    cache.select([1])
    cache.reset()
    add(cache, 50)
    assert np.array_equal(keys, before)


def test_a_steady_loop_of_beam_search_allocates_nothing() -> None:
    cache = made(Append(4096), tokens=0)
    where = [ring._values.ctypes.data for ring in cache.rings]
    for position in range(50):
        add(cache, position)
        cache.reorder([position % 4, 1, 0, 3])
    assert [ring._values.ctypes.data for ring in cache.rings] == where


# Views, stats, config, copies


@pytest.mark.parametrize(
    "change",
    [
        lambda cache: cache.reorder([0, 1, 2, 3]),
        lambda cache: cache.reorder([1, 0, 2, 3]),
        lambda cache: cache.select([1]),
        lambda cache: cache.repeat(2),
        lambda cache: cache.add_batch_rows(cache.copy()),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_views_are_stale_after_surgery_and_copies_of_them_are_not(mode: str, change: Any) -> None:
    cache = made(MODES[mode])
    views = [
        cache.read(layer, order=order) for layer in range(2) for order in ("temporal", "physical")
    ]
    copies = [(view.copy(), view.keys.copy(), view.positions.copy()) for view in views]
    change(cache)
    for view in views:
        for use in (lambda v: v.keys, lambda v: v.mask(), lambda v: v.positions, tuple):
            with pytest.raises(StaleViewError):
                use(view)
        assert "stale" in repr(view)
    for copy, keys, positions in copies:
        assert np.array_equal(copy.keys, keys)
        assert np.array_equal(copy.positions, positions)
        assert copy.mask().any()


def test_observing_a_view_from_before_says_that_it_is_stale() -> None:
    cache = made(MODES["LRU"])
    view = cache.read(0)
    cache.select([0, 1])
    with pytest.raises(StaleViewError):
        cache.observe(view, np.zeros((4, 1, 1, 6), np.float32))


@pytest.mark.parametrize("mode", MODES)
def test_stats_tell_what_updates_did_whatever_the_batch_was_then(mode: str) -> None:
    cache = made(MODES[mode])
    before = cache.stats
    cache.reorder([1, 1, 0, 0])
    cache.select([2])
    cache.repeat(3)
    assert cache.stats == before
    add(cache, 8)
    now = cache.stats
    assert now.tokens_written - before.tokens_written == 2 * 3
    assert now.bytes_written - before.bytes_written == 2 * 3 * 8
    assert now.rows_evicted - before.rows_evicted == (0 if mode in ("append", "replace") else 6)


def test_config_repr_and_sizes_tell_of_the_batch_there_is() -> None:
    cache = made(Append(12))
    assert cache.nbytes == 2 * 4 * 12 * 8
    cache.select([0, 3])
    assert (cache.nbytes, cache.nbytes_used) == (2 * 2 * 12 * 8, 2 * 2 * 8 * 8)
    assert "batch 2" in repr(cache)
    assert "batch 2" in repr(cache.rings[0])
    assert cache.rings[0].row_nbytes == 16
    twin = cache.copy()
    assert (twin.batch, held(twin)) == (2, held(cache))


def test_an_update_is_checked_against_the_batch_there_is() -> None:
    cache = made()
    old = numbered(cache, 8)
    cache.select([0])
    with pytest.raises(ShapeError, match="expected batch=1 on axis 0, got 4"):
        cache.update(0, *old)
    assert held(cache) == [SEEN[0]]


def test_a_ring_that_wraps_again_and_is_rolled_back_after_surgery_is_as_ever() -> None:
    both = Beside(RING, batch=3)
    both.feed(9)
    for call in (
        lambda c: c.truncate(8),
        lambda c: c.reorder([2, 0, 0]),
        lambda c: c.truncate(7),
        lambda c: c.repeat(2),
    ):
        both.do(call)
        both.compare()
    both.feed(1)
    both.do(lambda c: c.select([5, 1]))
    both.feed(4)
    both.compare()
