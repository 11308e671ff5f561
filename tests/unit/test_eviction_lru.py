"""LRU: the row that was not attended to for the longest time gives way."""

from __future__ import annotations

import numpy as np
import pytest

from kvring import LRU, Append, ConfigError
from tests.by_hand import feed, make
from tests.unit.eviction_policies import SharedBehaviour, left, observe


class TestLRU(SharedBehaviour):
    policy = LRU()

    def test_a_touched_row_stays_longer(self) -> None:
        cache = self.cache(3)
        feed(cache, 3)
        cache.touch(0, [0, 0])
        assert [feed(cache, 1).evicted.tolist() for _ in range(3)] == [[1], [2], [0]]

    def test_rows_touched_by_one_call_go_oldest_first(self) -> None:
        cache = self.cache(3)
        feed(cache, 3)
        cache.touch(0, [2, 0])
        assert [feed(cache, 1).evicted.tolist() for _ in range(3)] == [[1], [0], [2]]

    def test_of_two_calls_the_later_one_counts(self) -> None:
        cache = self.cache(3)
        feed(cache, 3)
        cache.touch(0, [0])
        cache.touch(0, [1])
        cache.touch(0, [2])
        cache.touch(0, [0])
        assert [feed(cache, 1).evicted.tolist() for _ in range(3)] == [[1], [2], [0]]

    def test_a_row_is_used_when_its_largest_weight_is_an_equal_share(self) -> None:
        cache = self.cache(4)
        observe(cache, feed(cache, 4), p0=0.25, p1=0.2, p2=0.5, p3=0.05)
        assert [feed(cache, 1).evicted.tolist() for _ in range(2)] == [[1], [3]]

    def test_the_largest_weight_is_taken_over_heads_and_queries(self) -> None:
        cache = self.cache(3)
        view = feed(cache, 3)
        weights = np.zeros((1, 2, 3, 3))
        weights[0, 1, 2, 0] = 0.4
        weights[0, :, :, 1] = 0.3  # much in all, never enough at once
        cache.observe(view, weights)
        assert feed(cache, 1).evicted.tolist() == [1]

    def test_a_read_and_physical_order_will_do_for_observe(self) -> None:
        cache = self.cache(3)
        for _ in range(5):
            feed(cache, 1)
        view = cache.read(0, order="physical")
        assert view.positions.tolist() == [3, 4, 2]
        observe(cache, view, p2=1)
        assert feed(cache, 1).evicted.tolist() == [3]

    def test_the_queue_is_renewed_when_most_of_it_was_used(self) -> None:
        cache = self.cache(100)
        feed(cache, 100)
        for _ in range(150):
            feed(cache, 1)
            cache.touch(0, left(cache)[:99])
        newest = cache.seq_len - 1
        assert left(cache) == [*range(1, 100), newest]


each_dtype = pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])


def equal_share(rows: int, dtype: str) -> np.ndarray:
    """What a softmax of that dtype gives to each of so many rows."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    return np.ones(1, dtype) / np.array(rows, dtype)


@each_dtype
@pytest.mark.parametrize("capacity", [3, 25, 49, 97, 300])
def test_attending_to_all_rows_alike_uses_them_all_in_every_dtype(
    capacity: int, dtype: str
) -> None:
    cache = make(Append(capacity, eviction=LRU()))
    feed(cache, capacity)
    cache.touch(0, [0])
    share = equal_share(capacity, dtype)
    cache.observe(cache.read(0), np.full((1, 1, 1, capacity), share))
    assert feed(cache, 1).evicted.tolist() == [0]
    assert cache.slots(0).tolist() != list(range(capacity)), "rows are no longer in slot order"
    cache.touch(0, [1])
    cache.observe(cache.read(0), np.full((1, 1, 1, capacity), share))
    assert feed(cache, 1).evicted.tolist() == [1]


@each_dtype
def test_a_weight_that_is_the_least_bit_below_an_equal_share_uses_no_row(dtype: str) -> None:
    cache = make(Append(25, eviction=LRU()))
    feed(cache, 25)
    weights = np.full((1, 1, 1, 25), equal_share(25, dtype))
    weights[..., 7] = np.nextafter(weights[..., 7], np.zeros_like(weights[..., 7]))
    cache.observe(cache.read(0), weights)
    assert feed(cache, 1).evicted.tolist() == [7]


def test_a_threshold_of_ones_own() -> None:
    cache = make(Append(3, eviction=LRU(threshold=0.6)))
    observe(cache, feed(cache, 3), p0=0.59, p1=0.6)
    assert feed(cache, 1).evicted.tolist() == [0]
    assert feed(cache, 1).evicted.tolist() == [2]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.5, float("nan"), "0.5", True])
def test_a_threshold_out_of_range_is_refused(threshold: object) -> None:
    with pytest.raises(ConfigError, match="threshold: expected a number above 0 and at most 1"):
        LRU(threshold=threshold)  # type: ignore[arg-type]
