"""Other numbers of slots where rows give way: rows stay where they can, and others cost nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from kvring import FIFO, LRU, Append, HeavyHitter
from tests.by_hand import fed, feed, settle
from tests.policies import NewestFirst


def test_rows_in_slots_that_there_are_no_longer_move_to_free_ones() -> None:
    cache = fed(Append(6, eviction=FIFO()), 6, layers=2)
    cache.evict([1, 3])
    cache.resize(capacity=4)
    settle(cache)
    assert cache.positions(0).tolist() == [0, 2, 4, 5]
    assert cache.slots(0).tolist() == [0, 2, 1, 3]
    assert feed(cache, 1).evicted.tolist() == [0]
    assert cache.room == 4


@pytest.mark.parametrize("capacity", [3, 4, 5])
def test_rows_move_to_the_first_free_slots_and_only_those_that_have_to(capacity: int) -> None:
    cache = fed(Append(8, eviction=FIFO()), 8)
    cache.evict([0, 2, 3, 5, 6])
    cache.resize(capacity=capacity)
    settle(cache)
    assert cache.positions(0).tolist() == [1, 4, 7]
    assert cache.slots(0).tolist() == {3: [1, 0, 2], 4: [1, 0, 2], 5: [1, 4, 0]}[capacity]


@pytest.mark.parametrize("policy", [FIFO(), LRU(), HeavyHitter(2), NewestFirst()], ids=repr)
def test_slots_that_no_row_needs_cost_nothing(policy: Any) -> None:
    cache = fed(Append(5, eviction=policy), 7)
    tracemalloc.start()
    try:
        cache.resize(capacity=4_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20, "bytes; a single one for every slot would be more"
    cache.check()
