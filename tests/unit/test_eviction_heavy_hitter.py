"""HeavyHitter: the row that gathered the least weight gives way; recent ones stay."""

from __future__ import annotations

import numpy as np
import pytest

from kvring import Append, ConfigError, HeavyHitter
from tests.by_hand import feed, make
from tests.unit.eviction_policies import SharedBehaviour, left, observe


class TestHeavyHitter(SharedBehaviour):
    policy = HeavyHitter(recent_tokens=0)

    def test_the_row_with_the_smallest_sum_gives_way(self) -> None:
        cache = self.cache(4)
        observe(cache, feed(cache, 4), p0=0.5, p1=0.25, p2=0.125, p3=0.125)
        observe(cache, cache.read(0), p0=0.25, p2=0.5, p3=0.25)
        assert [feed(cache, 1).evicted.tolist() for _ in range(1)] == [[1]]

    def test_weights_add_up_over_heads_and_queries(self) -> None:
        cache = self.cache(3)
        view = feed(cache, 3)
        weights = np.zeros((1, 2, 3, 3), np.float32)
        weights[0, :, :, 0] = 0.125
        weights[0, 0, 0, 1] = 0.5
        weights[0, 1, 1, 2] = 1
        cache.observe(view, weights)
        assert feed(cache, 1).evicted.tolist() == [1]

    def test_sums_are_float64(self) -> None:
        cache = self.cache(2)
        feed(cache, 2)
        view = cache.read(0)
        cache.observe(view, np.array([1, 1], np.float32).reshape(1, 1, 1, 2))
        for _ in range(3):  # too little for float32 to notice beside 1
            cache.observe(view, np.array([2.0**-30, 0], np.float32).reshape(1, 1, 1, 2))
        assert feed(cache, 1).evicted.tolist() == [1]

    def test_a_new_row_starts_from_nothing_in_a_used_slot(self) -> None:
        cache = self.cache(2)
        observe(cache, feed(cache, 2), p0=1, p1=0.5)
        observe(cache, feed(cache, 1), p0=1)
        assert left(cache) == [0, 2]
        assert feed(cache, 1).evicted.tolist() == [2]


class TestHeavyHitterWithRecentTokens(SharedBehaviour):
    policy = HeavyHitter(recent_tokens=2)

    def test_recent_rows_stay_whatever_they_gathered(self) -> None:
        cache = self.cache(4)
        observe(cache, feed(cache, 4), p0=0.5, p1=0.25, p2=0.25)
        assert feed(cache, 1).evicted.tolist() == [1]  # 3 and 4 are recent
        assert feed(cache, 1).evicted.tolist() == [3]

    def test_the_oldest_recent_row_goes_first_where_nothing_else_is_left(self) -> None:
        cache = self.cache(4)
        observe(cache, feed(cache, 4), p3=1)
        cache.pin([0, 1])
        assert feed(cache, 2).evicted.tolist() == [2, 3]
        assert feed(cache, 1).evicted.tolist() == [4]


@pytest.mark.parametrize("recent_tokens", [-1, 1.0, None, True])
def test_recent_tokens_must_be_a_count(recent_tokens: object) -> None:
    with pytest.raises(ConfigError, match="recent_tokens: expected an integer >= 0"):
        HeavyHitter(recent_tokens)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        HeavyHitter()  # type: ignore[call-arg]


def test_one_row_of_four_with_everything_recent_is_fifo() -> None:
    cache = make(Append(3, eviction=HeavyHitter(recent_tokens=9)))
    observe(cache, feed(cache, 3), p0=1)
    assert [feed(cache, 1).evicted.tolist() for _ in range(3)] == [[0], [1], [2]]
