"""Law 2: append mode keeps every position, slot = position, and says no when it is full."""

import pytest

from kvring import Append, CapacityError
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
