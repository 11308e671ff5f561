"""Law 11: batch rows that take different numbers of tokens go on their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import (
    FIFO,
    Append,
    Replace,
    ShapeError,
)
from tests.by_hand import make, settle
from tests.laws.ragged_rows import PADDING, WORKED_EXAMPLE, held, new_rows, rows_of, take


@pytest.mark.parametrize("padding", ["right", "left"])
def test_the_real_tokens_are_stored_whichever_side_padding_is_on(padding: Any) -> None:
    cache = make(Append(8), batch=3)
    take(cache, 3, 1, 0, width=4, padding=padding)
    assert cache.seq_lens.tolist() == cache.lengths.tolist() == [[3, 1, 0]]
    assert held(cache) == [[0, 1, 2], [0], []]
    assert PADDING not in cache.rings[0]._keys


def test_positions_have_a_line_for_each_batch_row_newest_last() -> None:
    cache = make(Append(8), batch=3)
    view = take(cache, 3, 1, 0)
    assert view.positions.tolist() == [[0, 1, 2], [-1, -1, 0], [-1, -1, -1]]
    assert view.keys[1].ravel().tolist() == [0, 0, 100]  # padding is zeros


def test_the_mask_has_a_line_for_each_token_and_padding_sees_nothing() -> None:
    cache = make(Append(8), batch=2)
    view = take(cache, 2, 1, padding="left")
    assert view.mask().tolist() == [
        [[True, False], [True, True]],
        [[False, False], [False, True]],
    ]


def test_counts_that_are_all_alike_have_lines_too() -> None:
    cache = make(Append(8), batch=2)
    view = take(cache, 2, 2)
    assert view.positions.tolist() == [[0, 1], [0, 1]]
    assert view.mask().shape == (2, 2, 2)
    assert cache.read(0).positions.tolist() == [0, 1]  # but batch rows do not differ
    assert np.shares_memory(view.keys, cache.rings[0]._keys)


def test_a_batch_row_shows_itself_as_a_cache_of_its_own_would() -> None:
    cache, alone = make(WORKED_EXAMPLE, batch=2), make(WORKED_EXAMPLE)
    view = take(cache, 5, 12)
    for first in range(0, 12, 12):
        keys = np.arange(100, 112, dtype=np.float32).reshape(1, 12, 1, 1)[:, first:]
        expected = alone.update(0, keys, keys + 0.5)
    shown = view.batch_row(1)
    assert shown.positions.tolist() == expected.positions.tolist() == list(range(12))
    assert shown.mask().tolist() == expected.mask().tolist()
    assert shown.evicted.tolist() == expected.evicted.tolist() == [1, 2, 3, 4, 5]
    assert shown.keys.tolist() == expected.keys.tolist()
    assert len(shown.keys) == 1


def test_uniform_views_have_batch_rows_as_well() -> None:
    cache = make(WORKED_EXAMPLE, batch=2)
    rows = np.arange(8, dtype=np.float32).reshape(2, 4, 1, 1)
    view = cache.update(0, rows, rows)
    assert view.batch_row(1).keys.ravel().tolist() == [4, 5, 6, 7]
    assert view.batch_row(1).positions.tolist() == view.positions.tolist()
    assert np.shares_memory(view.batch_row(1).keys, cache.rings[0]._keys)
    assert view.batch_row(1).batch_row(0).values.ravel().tolist() == [4, 5, 6, 7]


def test_sinks_and_slots_count_the_real_tokens_of_each_batch_row() -> None:
    cache = make(WORKED_EXAMPLE, batch=2)
    take(cache, 12, 3)
    assert cache.positions(0).tolist() == [[0, 6, 7, 8, 9, 10, 11], [-1] * 4 + [0, 1, 2]]
    assert cache.slots(0).tolist() == [[0, 6, 1, 2, 3, 4, 5], [-1] * 4 + [0, 1, 2]]
    assert held(cache) == [[0, 8, 9, 10, 11], [0, 1, 2]]


@pytest.mark.parametrize("mode", [Append(8), WORKED_EXAMPLE, Append(8, eviction=FIFO())])
def test_a_batch_row_with_no_tokens_stays_as_it_is_and_shows_nothing(mode: Any) -> None:
    cache = make(mode, batch=2)
    take(cache, 3, 2)
    for order in ("temporal", "physical"):
        view = take(cache, 0, 1, order=order)
        assert view.batch_row(0).positions.tolist() == []
        assert view.batch_row(0).mask().shape == (0, 0)
        assert not view.mask()[0].any()
    assert held(cache) == [[0, 1, 2], [0, 1, 2, 3]]


def test_replace_mode_empties_a_batch_row_with_no_tokens() -> None:
    cache = make(Replace(4), batch=2)
    take(cache, 3, 2)
    rows = np.full((2, 2, 1, 1), 100, np.float32)
    cache.update(0, rows, rows + 0.5, token_counts=[0, 1])
    settle(cache)
    assert held(cache) == [[], [0]]


def test_an_update_for_all_goes_on_where_each_batch_row_is() -> None:
    cache = make(Append(8), batch=2)
    take(cache, 3, 1)
    rows = new_rows(cache, [2, 2], 2, "right")
    view = cache.update(0, *rows)
    settle(cache)
    assert view.positions.tolist() == [[0, 1, 2, 3, 4], [-1, -1, 0, 1, 2]]
    assert view.mask().shape == (2, 2, 5)


def test_batch_rows_that_come_together_again_are_alike_in_every_way() -> None:
    cache = make(Append(8), batch=2)
    take(cache, 3, 1)
    with pytest.raises(ShapeError, match=r"use seq_lens, \[\[3, 1\]\]"):
        _ = cache.seq_len
    take(cache, 0, 2)
    assert cache.seq_len == 3
    view = cache.update(0, *new_rows(cache, [1, 1], 1, "right"))
    assert view.positions.tolist() == [0, 1, 2, 3]
    assert view.mask().shape == (1, 4)


def test_a_chunk_shows_early_queries_what_the_same_call_overwrites() -> None:
    cache = make(WORKED_EXAMPLE, batch=3)
    take(cache, 12, 3, 7)
    view = take(cache, 5, 1, 0, order="physical")  # assembled, so oldest first all the same
    assert view.positions.tolist() == [
        [0, 9, 10, 11, 12, 13, 14, 15, 16],
        [-1] * 5 + [0, 1, 2, 3],
        [-1] * 9,
    ]
    assert [rows_of(view, b) for b in range(3)] == [
        [0, 9, 10, 11, 12, 13, 14, 15, 16],
        [0, 1, 2, 3],
        [],
    ]
    assert view.evicted.tolist() == [[6, 7, 8, 9, 10], [-1] * 5, [-1] * 5]


def test_physical_order_is_one_piece_of_the_ring_up_to_the_longest_batch_row() -> None:
    cache = make(WORKED_EXAMPLE, batch=2)
    take(cache, 6, 2)
    view = take(cache, 1, 1, order="physical")
    assert view.positions.tolist() == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, -1, -1, -1, -1]]
    (pair,) = view.segments
    assert np.shares_memory(pair[0], cache.rings[0]._keys)
    assert view.mask()[1].tolist() == [[True, True, True, False, False, False, False]]
    assert view.batch_row(1).positions.tolist() == [0, 1, 2]
    assert cache.stats.rows_gathered == 0
