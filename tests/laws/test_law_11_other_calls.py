"""Law 11: truncate, refusals, counters, eviction and steps where batch rows differ."""

from __future__ import annotations

import numpy as np
import pytest

from kvring import (
    FIFO,
    Append,
    CapacityError,
    Circular,
    EvictedError,
    PolicyError,
    PositionError,
    Replace,
    ShapeError,
    StaleViewError,
)
from tests.by_hand import make, settle
from tests.laws.ragged_rows import WORKED_EXAMPLE, held, new_rows, take
from tests.policies import Muddled


def test_truncate_takes_one_target_for_each_batch_row_and_zero_starts_anew() -> None:
    cache = make(WORKED_EXAMPLE, batch=3)
    take(cache, 12, 3, 6)
    for targets in ([10, 2, 0], np.array([10, 2, 0])):
        cache.truncate(targets)
        settle(cache)
        assert cache.seq_lens.tolist() == [[10, 2, 0]]
        assert held(cache) == [[0, 6, 7, 8, 9], [0, 1], []]
    take(cache, 1, 1, 2)
    assert held(cache) == [[0, 7, 8, 9, 10], [0, 1, 2], [0, 1]]


def test_truncate_is_refused_for_all_batch_rows_or_for_none() -> None:
    cache = make(WORKED_EXAMPLE, batch=2)
    take(cache, 12, 3)
    view = cache.read(0)
    with pytest.raises(EvictedError, match="batch row 0: cannot truncate to 9: position 5 is gone"):
        cache.truncate([9, 1])
    for wrong in ([12, 4], [13, 3], [12, -1], 4):
        with pytest.raises(PositionError):
            cache.truncate(wrong)
    settle(cache)
    assert held(cache) == [[0, 8, 9, 10, 11], [0, 1, 2]]
    assert view.positions.shape == (2, 5)  # and no view is stale


def test_a_batch_row_without_room_refuses_the_update_of_all() -> None:
    cache = make(Append(4), batch=2)
    take(cache, 1, 3)
    assert cache.room == 1
    rows = new_rows(cache, [2, 2], 2, "right")
    for more in ({}, {"token_counts": [0, 2]}):
        with pytest.raises(CapacityError, match="batch row 1: cannot append 2 tokens: 3 of"):
            cache.update(0, *rows, **more)
    assert cache.seq_lens.tolist() == [[1, 3]]
    take(cache, 3, 1)  # padding needs no room
    assert cache.room == 0


def test_layers_of_a_step_share_one_plan_though_the_caller_reuses_its_counts() -> None:
    cache = make(WORKED_EXAMPLE, batch=2, layers=3)
    counts = np.array([0, 0])
    for step in ([3, 1], [1, 1], [0, 2]):
        for layer in range(3):
            counts[:] = step
            cache.update(layer, *new_rows(cache, [3, 3], 3, "right"), token_counts=counts)
            counts[:] = -1
        assert len({id(ring.state) for ring in cache.rings}) == 1
    cache.check()


def test_stats_count_real_tokens_alone() -> None:
    cache = make(Circular(2), batch=2)
    take(cache, 3, 1, width=5)
    stats = cache.stats
    assert (stats.tokens_written, stats.rows_evicted) == (4, 1)
    assert stats.bytes_written == 3 * 8
    assert cache.nbytes_used == 3 * 8


def test_counts_of_zero_make_nothing_stale_but_are_checked() -> None:
    cache = make(Append(4), batch=2)
    view = take(cache, 2, 1)
    empty = take(cache, 0, 0, width=3)
    assert view.positions.shape == (2, 2)
    assert (empty.positions.shape, empty.mask().shape) == ((2, 0), (2, 3, 0))
    with pytest.raises(ShapeError):
        cache.update(0, *new_rows(cache, [1, 1], 1, "right"), token_counts=[0])


def test_the_view_of_a_batch_row_is_stale_when_the_layer_changes_and_its_copy_is_not() -> None:
    cache = make(Append(4), batch=2)
    part = take(cache, 2, 1).batch_row(1)
    copy = part.copy()
    take(cache, 1, 0)
    with pytest.raises(StaleViewError, match=r"seq_lens \[2, 1\] then, \[3, 1\] now"):
        _ = part.keys
    assert copy.keys.ravel().tolist() == [100]
    assert copy.evicted.tolist() == []


def test_with_eviction_rows_give_way_in_each_batch_row_by_itself() -> None:
    cache = make(Append(4, eviction=FIFO(), sink_tokens=1), batch=2)
    take(cache, 4, 2)
    view = take(cache, 2, 1)
    assert view.evicted.tolist() == [[1, 2], [-1, -1]]
    assert held(cache) == [[0, 3, 4, 5], [0, 1, 2]]
    cache.truncate([6, 1])  # the first goes back to 6 or 0, the other anywhere
    take(cache, 1, 1)
    assert held(cache) == [[0, 4, 5, 6], [0, 1]]


def test_a_pin_goes_with_the_row_of_its_own_batch_row() -> None:
    cache = make(Append(4, eviction=FIFO()), batch=2)
    take(cache, 4, 4)
    cache.pin([1])
    cache.truncate([1, 4])  # takes the pin with it in the first
    take(cache, 4, 2)
    assert held(cache) == [[1, 2, 3, 4], [1, 3, 4, 5]]
    assert cache.room == 3


def test_steps_of_ragged_batches_are_taken_back_in_each_batch_row() -> None:
    cache = make(WORKED_EXAMPLE, batch=2)
    take(cache, 7, 2)

    def step() -> None:
        with cache.step(tokens=2):
            take(cache, 2, 1)
            take(cache, 1, 3, 5)  # for two batch rows only

    with pytest.raises(IndexError):
        step()
    assert cache.seq_lens.tolist() == [[7, 2]]
    with cache.step(tokens=2):
        take(cache, 1, 2)
    assert cache.seq_lens.tolist() == [[8, 4]]


def test_a_total_asks_for_batch_rows_that_are_alike() -> None:
    cache = make(Append(8), batch=2)
    take(cache, 3, 1)
    with pytest.raises(ShapeError, match=r"batch rows differ, seq_lens are \[3, 1\]"):
        cache.update(0, *new_rows(cache, [1, 1], 1, "right"), seq_len=4)
    replacing = make(Replace(8), batch=2)
    take(replacing, 3, 1)
    replacing.update(0, *new_rows(make(Append(8), batch=2), [2, 2], 2, "right"), seq_len=2)
    assert replacing.seq_len == 2


def test_no_policy_is_asked_when_the_tokens_of_another_batch_row_do_not_fit() -> None:
    cache = make(Append(1, eviction=Muddled()), batch=2)  # answers nonsense about position 1
    take(cache, 1, 1)
    take(cache, 1, 1)
    with pytest.raises(CapacityError, match="batch row 1: cannot append 2 tokens"):
        take(cache, 1, 2)
    with pytest.raises(PolicyError, match="one of them twice"):
        take(cache, 1, 1)
    assert cache.seq_lens.tolist() == [[2, 2]]
