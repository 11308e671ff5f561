"""What all eviction policies share: each test file of a policy derives its class from this one."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from kvring import Append, CapacityError, ConfigError, EvictedError, KVCache, KVView
from tests.by_hand import feed, make, rows, settle, shown


def observe(cache: KVCache, view: KVView, **weights: float) -> None:
    """Tell the newest query's weights by position, ``p3=0.5``; all others gave nothing."""
    by_position = {int(name[1:]): weight for name, weight in weights.items()}
    given = np.zeros((1, 1, *view.mask().shape), np.float32)
    given[0, 0, -1] = [by_position.get(int(position), 0.0) for position in view.positions]
    cache.observe(view, given)
    settle(cache)


def left(cache: KVCache, layer: int = 0) -> list[int]:
    """Positions of one layer."""
    return [int(position) for position in cache.positions(layer)]


class SharedBehaviour:
    """Tests of any policy. Nothing is observed or touched, so all rows are alike."""

    policy: Any

    def cache(self, capacity: int, sink_tokens: int = 0, **arguments: Any) -> KVCache:
        strategy = Append(capacity, eviction=self.policy, sink_tokens=sink_tokens)
        return make(strategy, **arguments)

    @pytest.mark.parametrize("capacity", [1 << 62, 1 << 70])
    def test_a_table_of_too_many_slots_is_refused_like_any_other_memory(
        self, capacity: int
    ) -> None:
        with pytest.raises(ConfigError, match=r"^cannot reserve [\d,]+ bytes: .+; use a smaller"):
            self.cache(capacity)

    def test_slots_take_memory_as_tokens_arrive(self) -> None:
        self.cache_with_a_hole(8)  # whatever is compiled and loaded by this
        tracemalloc.start()
        try:
            cache = self.cache_with_a_hole(4_000_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20, "bytes; a single one for every slot would be more"
        cache.check()

    def cache_with_a_hole(self, capacity: int) -> KVCache:
        """A cache that has got new rows after a row was dropped; nothing unused was poisoned."""
        cache = self.cache(capacity)
        for position in range(6):
            if position == 4:
                cache.evict([1])
            cache.update(0, *rows(position, position + 1))
        return cache

    def test_new_rows_take_the_holes_first_and_then_what_is_behind(self) -> None:
        cache = self.cache(9, batch=2)
        feed(cache, 5)
        cache.evict([1, 3])
        feed(cache, 1)
        assert cache.slots(0).tolist() == [0, 2, 4, 1]
        feed(cache, 3)
        assert cache.slots(0).tolist() == [0, 2, 4, 1, 3, 5, 6]
        feed(cache, 2)
        assert cache.slots(0).tolist() == [0, 2, 4, 1, 3, 5, 6, 7, 8]
        assert len(feed(cache, 1).evicted) == 1

    def test_nothing_gives_way_while_there_are_free_slots(self) -> None:
        cache = self.cache(4)
        assert shown(feed(cache, 4)) == [0, 1, 2, 3]
        assert cache.slots(0).tolist() == [0, 1, 2, 3]
        assert cache.room == 4

    def test_exactly_as_many_rows_give_way_as_are_needed(self) -> None:
        cache = self.cache(4)
        feed(cache, 3)
        view = feed(cache, 3)
        assert len(view.evicted) == 2
        assert len(left(cache)) == 4
        assert set(left(cache)) == set(range(6)) - set(view.evicted.tolist())

    def test_new_rows_take_the_slots_of_those_that_gave_way(self) -> None:
        cache = self.cache(4)
        before = shown(feed(cache, 4))
        view = feed(cache, 1, order="physical")
        after = view.positions.tolist()
        (slot,) = [n for n in range(4) if after[n] != before[n]]
        assert (after[slot], before[slot]) == (4, view.evicted[0])

    def test_the_oldest_row_gives_way_where_all_are_alike(self) -> None:
        cache = self.cache(3)
        feed(cache, 3)
        assert feed(cache, 2).evicted.tolist() == [0, 1]

    def test_sinks_stay(self) -> None:
        cache = self.cache(4, sink_tokens=2)
        for _ in range(9):
            feed(cache, 1)
        assert left(cache)[:2] == [0, 1]
        assert cache.room == 2

    def test_pinned_rows_stay_until_they_are_unpinned(self) -> None:
        cache = self.cache(4)
        feed(cache, 4)
        cache.pin([0, 2])
        assert cache.room == 2
        assert feed(cache, 2).evicted.tolist() == [1, 3]
        cache.unpin([0])
        assert feed(cache, 2, order="physical").evicted.tolist()[0] == 0
        assert 2 in left(cache)

    def test_everything_pinned_is_a_capacity_error_and_changes_nothing(self) -> None:
        cache = self.cache(3, sink_tokens=1)
        view = feed(cache, 3)
        cache.pin([1, 2])
        assert cache.room == 0
        with pytest.raises(CapacityError, match="3 of capacity 3 are pinned or sinks, 0 can be"):
            cache.update(0, *rows(3, 4))
        settle(cache)
        assert shown(view) == [0, 1, 2]

    def test_more_rows_than_unpinned_slots_are_a_capacity_error(self) -> None:
        cache = self.cache(4, sink_tokens=1)
        feed(cache, 2)
        with pytest.raises(CapacityError, match="cannot append 4 tokens"):
            cache.update(0, *rows(2, 6))
        assert feed(cache, 3).evicted.tolist() == [1]

    def test_truncate_goes_back_to_the_last_evicting_update_or_to_the_start(self) -> None:
        cache = self.cache(4)
        for _ in range(5):
            feed(cache, 1)
        with pytest.raises(EvictedError, match="rows gave way when there were 5 tokens"):
            cache.truncate(4)
        cache.truncate(5)
        settle(cache)
        cache.evict([left(cache)[0]])
        feed(cache, 1)
        cache.truncate(5)
        settle(cache)
        assert cache.length == 3
        cache.truncate(0)
        settle(cache)
        assert shown(feed(cache, 4)) == [0, 1, 2, 3]

    def test_what_was_before_a_reset_makes_no_difference(self) -> None:
        cache, fresh = self.cache(4, sink_tokens=1), self.cache(4, sink_tokens=1)
        feed(cache, 3)
        cache.pin([2])
        for _ in range(5):
            feed(cache, 1)
        cache.touch(0, [left(cache)[-1]])
        cache.reset()
        settle(cache)
        for tokens in (3, 1, 2, 1, 1, 3):
            assert shown(feed(cache, tokens)) == shown(feed(fresh, tokens))

    def test_a_copy_goes_on_like_its_original(self) -> None:
        cache = self.cache(5, sink_tokens=1)
        feed(cache, 5)
        observe(cache, cache.read(0), p2=0.75, p4=0.25)
        cache.pin([3])
        feed(cache, 1)
        twin = cache.copy()
        settle(twin)
        for tokens in (1, 2, 1, 3):
            assert shown(feed(twin, tokens)) == shown(feed(cache, tokens))

    def test_layers_evict_on_their_own_and_pins_hold_in_all(self) -> None:
        cache = self.cache(3, layers=2)
        for layer in range(2):
            feed(cache, 3, layer=layer)
        cache.pin([1])
        feed(cache, 2, layer=1)
        assert (left(cache, 0), left(cache, 1)) == ([0, 1, 2], [1, 3, 4])

    def test_what_it_remembers_is_counted(self) -> None:
        plain = make(Append(64)).nbytes
        assert self.cache(64).nbytes >= plain + 64 * 8
