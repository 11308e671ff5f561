"""KVView: what it shows in either order, what can be written (nothing), what is gathered.

The key of a token is its position, its value 100 more. When views go stale and what copies are is
in ``test_stale_views.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import Append, Circular, KVCache
from tests.cache.feeding import feed, make, numbered, numbers, pieces, worked
from tests.support import WORKED_EXAMPLE, poison

# What a view shows


def test_a_view_unpacks_into_keys_and_values() -> None:
    _, view = worked()
    keys, values = view
    assert numbers(keys) == numbers(view.keys) == [0, 8, 9, 10, 11]
    assert numbers(values) == numbers(view.values) == [100, 108, 109, 110, 111]
    assert keys.shape == (1, 5, 1, 1)


def test_a_temporal_view_is_exactly_the_window_oldest_first() -> None:
    cache, view = worked()
    for shown in (view, cache.read(0)):
        assert shown.order == "temporal"
        assert shown.positions.tolist() == [0, 8, 9, 10, 11]
        assert shown.mask().tolist() == [[True] * 5]


def test_a_physical_view_is_slot_order_and_the_mask_leaves_out_what_is_past() -> None:
    cache, view = worked("physical")
    for shown in (view, cache.read(0, order="physical")):
        assert shown.order == "physical"
        assert numbers(shown.keys) == shown.positions.tolist() == [0, 7, 8, 9, 10, 11, 6]
        assert shown.mask().tolist() == [[True, False, True, True, True, True, False]]


def test_evicted_tells_what_this_update_pushed_out() -> None:
    cache, view = worked()
    assert (view.evicted.tolist(), view.evicted.dtype) == ([5], np.int64)
    assert feed(cache, 3).evicted.tolist() == [6, 7, 8]
    assert cache.read(0).evicted.tolist() == []
    assert feed(make(WORKED_EXAMPLE), 7).evicted.tolist() == []
    # Of ten tokens in seven slots, three came and went in the same call.
    assert feed(make(WORKED_EXAMPLE), 10).evicted.tolist() == [1, 2, 3]


def test_a_chunk_shows_each_query_its_own_window() -> None:
    view = feed(make(Circular(window=2)), 1, 3)
    assert view.positions.tolist() == [0, 1, 2, 3]
    assert view.mask().tolist() == [
        [True, True, False, False],
        [False, True, True, False],
        [False, False, True, True],
    ]


def test_without_a_window_each_query_sees_all_that_came_before_it() -> None:
    view = feed(make(Append(4)), 1, 2)
    assert view.positions.tolist() == [0, 1, 2]
    assert view.mask().tolist() == [[True, True, False], [True, True, True]]


def test_a_view_of_an_empty_layer_has_no_rows_and_one_query() -> None:
    for order in ("temporal", "physical"):
        view = make(WORKED_EXAMPLE).read(0, order=order)
        assert (view.keys.shape, view.mask().shape) == ((1, 0, 1, 1), (1, 0))
        assert pieces(view) == [[]]


@pytest.mark.parametrize("order", ["temporal", "physical"])
def test_a_view_of_no_new_tokens_has_no_rows_and_no_queries(order: Any) -> None:
    cache, _ = worked()
    view = feed(cache, 0, order=order)
    assert (view.positions.tolist(), view.mask().shape) == ([], (0, 0))
    assert pieces(view) == [[]]
    assert view.evicted.tolist() == []


def test_views_of_layout_bhsd_have_heads_before_tokens() -> None:
    cache = KVCache(
        layers=1, kv_heads=2, head_dim=1, value_dim=3, batch=4, strategy=Circular(3), layout="BHSD"
    )
    for token in range(4):
        keys = np.full((4, 2, 1, 1), token, np.float32)
        view = cache.update(0, keys, np.repeat(keys, 3, axis=3))
    assert (view.keys.shape, view.values.shape) == ((4, 2, 3, 1), (4, 2, 3, 3))
    assert view.keys[3, 1, :, 0].tolist() == view.values[3, 1, :, 2].tolist() == [1, 2, 3]
    assert [keys.shape for keys, _ in view.segments] == [(4, 2, 2, 1), (4, 2, 1, 1)]


# Segments


@pytest.mark.parametrize(
    ("mode", "tokens", "expected"),
    [
        (Append(9), 5, [[0, 1, 2, 3, 4]]),
        (Circular(4), 3, [[0, 1, 2]]),
        (Circular(4), 4, [[0, 1, 2, 3]]),
        (Circular(4), 5, [[1, 2, 3], [4]]),
        (Circular(4), 8, [[4, 5, 6, 7]]),
        (Circular(4, sink_tokens=2), 1, [[0]]),
        (Circular(4, sink_tokens=2), 6, [[0, 1, 2, 3, 4, 5]]),
        (Circular(4, sink_tokens=2), 7, [[0, 1], [3, 4, 5], [6]]),
        (Circular(4, sink_tokens=2), 10, [[0, 1, 6, 7, 8, 9]]),
        (WORKED_EXAMPLE, 12, [[0], [8, 9, 10, 11]]),
        (WORKED_EXAMPLE, 14, [[0], [10, 11, 12], [13]]),
    ],
    ids=str,
)
def test_segments_are_sinks_and_rows_before_and_behind_the_wrap(
    mode: Any, tokens: int, expected: list[list[int]]
) -> None:
    cache = make(mode)
    view = feed(cache, *[1] * tokens)
    assert pieces(view) == expected
    assert numbers(view.keys) == view.positions.tolist() == [n for piece in expected for n in piece]
    for keys, values in view.segments:
        assert np.shares_memory(keys, cache.rings[0]._keys)
        assert np.shares_memory(values, cache.rings[0]._values)


# Physical order in every state of the ring


def test_physical_order_of_a_partly_filled_ring_ends_with_the_last_row() -> None:
    view = feed(make(WORKED_EXAMPLE), 2, 1, order="physical")
    assert (pieces(view), view.mask().tolist()) == ([[0, 1, 2]], [[True] * 3])


def test_physical_order_after_a_truncate_has_dead_slots_that_nobody_may_see() -> None:
    cache, _ = worked()
    cache.truncate(10)
    poison(cache)
    view = cache.read(0, order="physical")
    assert view.positions.tolist() == [0, 7, 8, 9, -1, -1, 6]
    assert view.mask().tolist() == [[True, True, True, True, False, False, True]]
    assert np.isnan(numbers(view.keys)).tolist() == [False] * 4 + [True, True, False]
    assert len(view.segments) == 1


def test_physical_order_after_a_truncate_ends_with_the_highest_slot_in_use() -> None:
    cache, _ = worked()
    feed(cache, 2)
    cache.truncate(12)
    assert cache.read(0, order="physical").positions.tolist() == [0, -1, 8, 9, 10, 11]
    cache.truncate(1)
    assert cache.read(0, order="physical").positions.tolist() == [0]
    cache.truncate(0)
    assert cache.read(0, order="physical").positions.tolist() == []


@pytest.mark.parametrize("tokens", range(1, 16))
def test_physical_order_is_always_one_piece_of_the_ring(tokens: int) -> None:
    cache = make(WORKED_EXAMPLE)
    view = feed(cache, *[1] * tokens, order="physical")
    assert len(view.segments) == 1
    assert np.shares_memory(view.keys, cache.rings[0]._keys)
    assert sorted(view.positions[view.mask()[0]]) == cache.read(0).positions.tolist()
    assert numbers(view.keys) == view.positions.tolist()
    assert cache.stats.rows_gathered == 0


# Assembled views


@pytest.mark.parametrize("order", ["temporal", "physical"])
def test_an_assembled_view_has_old_and_new_rows_in_one_piece_of_its_own(order: Any) -> None:
    cache, _ = worked()
    view = feed(cache, 5, order=order)
    assert pieces(view) == [[0, *range(9, 17)]]
    assert (numbers(view.keys), view.order) == ([0, *range(9, 17)], order)
    assert view.positions.tolist() == [0, *range(9, 17)]
    assert view.mask()[0].tolist() == [True] * 5 + [False] * 4
    assert not np.shares_memory(view.keys, cache.rings[0]._keys)
    assert (cache.stats.rows_assembled, cache.stats.rows_gathered) == (9, 0)


def test_rows_of_a_subclass_come_back_as_plain_arrays_assembled_or_not() -> None:
    class Tagged(np.ndarray):
        __array_priority__ = 15.0  # like masked arrays: joins with plain arrays become Tagged

    cache, _ = worked()
    for count in (1, 5):
        keys, values = (rows.view(Tagged) for rows in numbered(cache.seq_len, count))
        view = cache.update(0, keys, values)
        arrays = [view.keys, view.values, *(array for pair in view.segments for array in pair)]
        assert {type(array) for array in arrays} == {np.ndarray}


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_a_copy_knows_its_layout(layout: str) -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, layout=layout, strategy=Append(2))
    assert cache.read(0).copy().layout == cache.read(0).copy().copy().layout == layout


# Read-only


def test_nothing_that_a_view_shows_can_be_written() -> None:
    cache, view = worked()
    physical, assembled = cache.read(0, order="physical").copy(), feed(make(WORKED_EXAMPLE), 7, 6)
    for shown in (view.copy(), physical, assembled, cache.read(0)):
        arrays = [shown.keys, shown.values, shown.positions, shown.mask(), *shown]
        for array in arrays + [array for pair in shown.segments for array in pair]:
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_a_gathered_pair_is_read_only_too() -> None:
    keys, values = feed(make(Circular(4)), *[1] * 5)
    assert not keys.flags.writeable
    assert not values.flags.writeable


# Gathering


def test_rows_in_several_pieces_are_gathered_once_and_counted_once() -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, batch=2, strategy=Circular(4))
    rows = np.arange(10, dtype=np.float32).reshape(2, 5, 1, 1)
    for token in range(5):
        view = cache.update(0, rows[:, token : token + 1], rows[:, token : token + 1])
    assert [keys[0].ravel().tolist() for keys, _ in view.segments] == [[1, 2, 3], [4]]
    assert cache.stats.rows_gathered == 0
    for _ in range(3):
        keys, _ = view
        assert keys is view.keys
        assert keys[:, :, 0, 0].tolist() == [[1, 2, 3, 4], [6, 7, 8, 9]]
    assert cache.stats.rows_gathered == 8  # 4 rows of 2 batch rows


def test_rows_in_one_piece_are_never_gathered() -> None:
    cache = make(Circular(4))
    for chunks in ([1, 1, 1], [1], [1, 1, 1, 1]):
        keys, values = feed(cache, *chunks)
        assert np.shares_memory(keys, cache.rings[0]._keys)
        assert np.shares_memory(values, cache.rings[0]._values)
    assert cache.stats.rows_gathered == 0


# Reprs


def test_a_view_says_what_it_shows() -> None:
    cache, view = worked()
    assert repr(view) == ("<KVView temporal: 5 rows of float32, positions 0..11, 1 query>")
    assert repr(feed(cache, 5)) == (
        "<KVView assembled: 9 rows of float32, positions 0..16, 5 queries>"
    )
    assert repr(make(Append(3)).read(0)) == "<KVView temporal: 0 rows of float32, 1 query>"


def test_dead_slots_are_no_positions_in_a_repr() -> None:
    cache, _ = worked()
    cache.truncate(10)
    assert "positions 0..9" in repr(cache.read(0, order="physical"))


def test_the_name_of_a_batch_row_gathers_nothing_and_is_there_when_it_is_stale() -> None:
    cache, view = worked()
    row = view.batch_row(0)
    assert repr(row) == "<KVView batch row 0: 5 rows of float32, positions 0..11, 1 query>"
    assert cache.stats.rows_gathered == 0
    cache.reset()
    assert repr(row) == "<KVView batch row 0: rows of float32; stale>"
