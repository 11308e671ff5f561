"""Law 2: append mode keeps every position, slot = position, and says no when it is full."""

import numpy as np
import pytest

from kvring import FIFO, LRU, Append, CapacityError, EvictedError, HeavyHitter
from tests.by_hand import fed, feed, make, rows, seen, shown


def test_every_position_stays_and_sits_in_the_slot_of_its_number():
    cache = fed(Append(6), 5)
    assert cache.positions(0).tolist() == [0, 1, 2, 3, 4]
    assert cache.slots(0).tolist() == [0, 1, 2, 3, 4]


def test_a_query_sees_all_positions_up_to_its_own():
    cache = make(Append(6))
    assert seen(feed(cache, 2)) == [[0], [0, 1]]
    assert seen(feed(cache, 2)) == [[0, 1, 2], [0, 1, 2, 3]]


def test_the_last_slot_is_used_and_one_more_token_is_refused():
    cache = fed(Append(3), 3)
    assert cache.room == 0
    with pytest.raises(CapacityError, match="3 of capacity 3 are taken, 0 free"):
        cache.update(0, *rows(3, 4))
    cache.check()
    assert shown(cache.read(0)) == [0, 1, 2]


def test_a_chunk_that_does_not_fit_whole_writes_nothing():
    cache = fed(Append(4), 2)
    with pytest.raises(CapacityError, match="cannot append 3 tokens"):
        cache.update(0, *rows(2, 5))
    assert cache.seq_len == 2
    assert cache.stats.tokens_written == 2
    assert shown(feed(cache, 2)) == [0, 1, 2, 3]


# With an eviction policy


def test_exactly_as_many_rows_give_way_as_are_needed_and_their_slots_are_reused_in_place():
    cache = fed(Append(4, eviction=FIFO()), 3)
    view = feed(cache, 3)  # one slot is free
    assert view.evicted.tolist() == [0, 1]
    assert cache.positions(0).tolist() == [2, 3, 4, 5]
    assert cache.slots(0).tolist() == [2, 3, 0, 1]


def test_victims_are_chosen_before_any_query_of_the_chunk():
    cache = fed(Append(4, eviction=FIFO()), 4)
    assert seen(feed(cache, 2)) == [[2, 3, 4], [2, 3, 4, 5]]


def test_a_chunk_and_its_tokens_one_by_one_may_show_different_rows():
    cache = fed(Append(4, eviction=FIFO()), 4)
    assert seen(feed(cache, 1)) + seen(feed(cache, 1)) == [[1, 2, 3, 4], [2, 3, 4, 5]]


@pytest.mark.parametrize("policy", [FIFO(), LRU(), HeavyHitter(recent_tokens=0)])
def test_ties_go_to_the_oldest(policy):
    cache = make(Append(3, eviction=policy))
    feed(cache, 3)  # one call, no weights: alike under every policy
    assert feed(cache, 1).evicted.tolist() == [0]


def test_each_layer_and_batch_row_chooses_its_own_victims():
    policy = HeavyHitter(recent_tokens=0)
    cache = make(Append(2, eviction=policy), layers=2, batch=2)
    for layer in range(2):
        feed(cache, 2, layer=layer)
    cache.observe(cache.read(0), np.array([[[[0.25, 0.75]]], [[[0.75, 0.25]]]]))
    assert feed(cache, 1, layer=0).evicted.tolist() == [[0], [1]]
    assert feed(cache, 1, layer=1).evicted.tolist() == [0]


def test_truncate_goes_down_to_the_last_evicting_update_or_to_0():
    cache = fed(Append(3, eviction=FIFO()), 4)
    with pytest.raises(EvictedError):
        cache.truncate(3)
    cache.check()
    assert shown(cache.read(0)) == [1, 2, 3]
    cache.truncate(4)
    cache.truncate(0)
    cache.check()
    assert shown(feed(cache, 2)) == [0, 1]


def test_sinks_count_as_pinned():
    cache = fed(Append(3, eviction=FIFO(), sink_tokens=1), 5)
    assert cache.positions(0).tolist() == [0, 3, 4]
    assert cache.room == 2


def test_more_new_rows_than_unpinned_slots_are_refused_and_nothing_changes():
    cache = fed(Append(4, eviction=FIFO(), sink_tokens=1), 4)
    cache.pin([2])
    with pytest.raises(CapacityError, match="2 of capacity 4 are pinned or sinks"):
        cache.update(0, *rows(4, 7))
    cache.check()
    assert shown(cache.read(0)) == [0, 1, 2, 3]
    assert feed(cache, 2).evicted.tolist() == [1, 3]
