"""FIFO: the oldest row gives way, as in a ring."""

from __future__ import annotations

import pytest

from kvring import FIFO, Append, Circular
from tests.by_hand import feed, make, seen, shown
from tests.unit.eviction_policies import SharedBehaviour, left, observe


class TestFIFO(SharedBehaviour):
    policy = FIFO()

    def test_weights_and_touches_make_no_difference(self) -> None:
        cache = self.cache(3)
        observe(cache, feed(cache, 3), p0=1)
        cache.touch(0, [0])
        assert feed(cache, 1).evicted.tolist() == [0]

    def test_rows_go_in_order_around_a_hole_made_by_hand(self) -> None:
        cache = self.cache(4)
        feed(cache, 4)
        cache.evict([1])
        feed(cache, 1)
        assert cache.slots(0).tolist() == [0, 2, 3, 1]
        assert feed(cache, 1).evicted.tolist() == [0]
        assert feed(cache, 1).evicted.tolist() == [2]

    def test_many_evictions_keep_the_newest_in_order(self) -> None:
        cache = self.cache(70)
        for _ in range(300):
            feed(cache, 1)
        assert left(cache) == list(range(230, 300))


@pytest.mark.parametrize("sink_tokens", [0, 1, 3])
def test_fifo_shows_what_a_circular_cache_shows_token_by_token(sink_tokens: int) -> None:
    fifo = make(Append(6, eviction=FIFO(), sink_tokens=sink_tokens))
    ring = make(Circular(window=6 - sink_tokens, sink_tokens=sink_tokens))
    for _ in range(20):
        by_fifo, by_ring = feed(fifo, 1), feed(ring, 1)
        assert shown(by_fifo) == shown(by_ring)
        assert seen(by_fifo) == seen(by_ring)
        assert by_fifo.evicted.tolist() == by_ring.evicted.tolist()
        assert fifo.positions(0).tolist() == ring.positions(0).tolist()
