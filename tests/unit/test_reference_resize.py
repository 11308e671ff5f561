"""The reference in other numbers of slots: what stays, what goes, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kvring.config import Append, Circular, Mode, Replace
from kvring.errors import CapacityError, ConfigError, DTypeError, EvictedError, KVRingError
from kvring.eviction import FIFO, LRU
from kvring.reference import ReferenceCache
from tests.support import filled_reference, make_reference, reference_state


def filled(strategy: Mode, tokens: int) -> ReferenceCache:
    return filled_reference(strategy, tokens)


def test_an_append_layer_takes_more_tokens_after_it_has_grown() -> None:
    cache = filled(Append(3), 3)
    with pytest.raises(CapacityError):
        cache.update(0, [3])
    cache.resize(capacity=5)
    cache.update(0, [3, 4])
    assert cache.rows(0) == [0, 1, 2, 3, 4]
    assert (cache.room, cache.config.layers[0].strategy) == (0, Append(5))


def test_a_layer_shrinks_to_what_it_holds_and_no_further() -> None:
    cache = filled(Append(9), 3)
    with pytest.raises(CapacityError, match="holds 3 rows, got 2"):
        cache.resize(capacity=2)
    cache.resize(capacity=3)
    assert (cache.rows(0), cache.room) == ([0, 1, 2], 0)
    cache.truncate(1)
    cache.resize(capacity=1)
    assert (cache.rows(0), cache.room) == ([0], 0)


def test_replace_mode_keeps_its_content_and_takes_more_or_fewer_rows_from_then_on() -> None:
    cache = filled(Replace(3), 2)
    cache.resize(capacity=2)
    assert (cache.rows(0), cache.room) == ([0, 1], 2)
    with pytest.raises(CapacityError):
        cache.resize(capacity=1)


def test_a_ring_with_more_rollback_keeps_what_it_has_and_then_gathers_more() -> None:
    cache = filled(Circular(3, 1, 1), 9)
    assert cache.positions(0) == [0, 5, 6, 7, 8]
    cache.resize(rollback_tokens=3)
    assert cache.positions(0) == [0, 5, 6, 7, 8]
    with pytest.raises(EvictedError):
        cache.truncate(7)
    cache.update(0, [9, 10])
    assert cache.positions(0) == [0, 5, 6, 7, 8, 9, 10]
    cache.truncate(8)
    assert cache.read(0).positions == [0, 5, 6, 7]


def test_a_ring_with_less_rollback_or_a_smaller_window_lets_go_of_its_oldest_rows() -> None:
    cache = filled(Circular(4, 1, 3), 12)
    cache.resize(rollback_tokens=1)
    assert cache.positions(0) == [0, 7, 8, 9, 10, 11]
    cache.resize(window=2)
    assert cache.positions(0) == [0, 9, 10, 11]
    assert cache.update(0, [12]).positions == [0, 11, 12]
    assert cache.positions(0) == [0, 10, 11, 12]


def test_a_smaller_window_with_as_much_more_rollback_loses_nothing() -> None:
    cache = filled(Circular(4, 0, 1), 12)
    cache.resize(window=2, rollback_tokens=3)
    assert cache.positions(0) == [7, 8, 9, 10, 11]
    cache.truncate(9)
    assert cache.read(0).positions == [7, 8]


def test_a_window_grows_only_while_nothing_is_gone() -> None:
    cache = filled(Circular(3, 1, 1), 5)
    cache.resize(window=4)
    cache.update(0, [5])
    assert cache.read(0).positions == [0, 2, 3, 4, 5]
    cache.update(0, [6])
    with pytest.raises(EvictedError):
        cache.resize(window=5)
    cache.truncate(1)  # only the sink is left, and with it all there is
    cache.resize(window=5)
    cache.update(0, list(range(1, 6)))
    assert cache.read(0).positions == [0, 1, 2, 3, 4, 5]


def test_with_eviction_pins_and_memory_stay() -> None:
    cache = filled(Append(4, eviction=LRU(), sink_tokens=1), 4)
    cache.touch(0, [1])
    cache.pin([3])
    cache.resize(capacity=5)
    cache.update(0, [4])
    assert cache.update(0, [5]).evicted == [2]
    cache.evict([1])
    cache.resize(capacity=4)
    assert cache.positions(0) == [0, 3, 4, 5]
    assert cache.update(0, [6]).evicted == [4]


def test_only_layers_that_have_the_number_change() -> None:
    cache = make_reference(Append(4), Circular(3), Replace(2))
    for layer in range(3):
        cache.update(layer, [0, 1])
    cache.resize(capacity=3, window=2)
    modes = [layer.strategy for layer in cache.config.layers]
    assert modes == [Append(3), Circular(2), Replace(3)]


@pytest.mark.parametrize(
    ("strategy", "numbers", "error"),
    [
        (Append(4), {}, ConfigError),
        (Append(4), {"window": 3}, ConfigError),
        (Append(4), {"capacity": 6, "rollback_tokens": 3}, ConfigError),
        (Circular(3), {"capacity": 6}, ConfigError),
        (Append(4), {"capacity": 0}, ConfigError),
        (Circular(3), {"window": 0}, ConfigError),
        (Circular(3), {"rollback_tokens": -1}, ConfigError),
        (Append(4, eviction=FIFO(), sink_tokens=3), {"capacity": 3}, ConfigError),
        (Append(4), {"capacity": True}, DTypeError),
        (Append(4), {"capacity": 5.0}, DTypeError),
        (Circular(3), {"window": "3"}, DTypeError),
        (Append(4), {"capacity": 1}, CapacityError),
        (Replace(4), {"capacity": 1}, CapacityError),
        (Circular(1), {"window": 2}, EvictedError),
        (Circular(1), {"window": 2, "rollback_tokens": 5}, EvictedError),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    strategy: Mode, numbers: dict[str, Any], error: type[KVRingError]
) -> None:
    cache = filled(strategy, 2)
    before = cache.config, reference_state(cache)
    with pytest.raises(error):
        cache.resize(**numbers)
    assert (cache.config, reference_state(cache)) == before
