"""touch, observe, pin, unpin and evict: wrong calls say what is wrong and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvring import (
    LRU,
    Append,
    Circular,
    DTypeError,
    EvictedError,
    EvictionPolicy,
    KVRingError,
    LayerError,
    PolicyError,
    PositionError,
    ShapeError,
    StaleViewError,
)
from tests.by_hand import fed, feed, make, settle, shown

MODE = Append(4, eviction=LRU(), sink_tokens=1)
ROW = np.zeros((1, 1, 2, 1), np.float32)


def weights(*shape: int) -> np.ndarray:
    return np.full(shape, 0.25, np.float32)


def spoiled(value: float) -> np.ndarray:
    given = weights(1, 2, 1, 4)
    given[0, 1, 0, 3] = value
    return given


WRONG: dict[str, tuple[type[KVRingError], str, Callable[[Any], Any]]] = {
    "too few axes": (ShapeError, "4 axes", lambda c: c.observe(c.read(0), weights(2, 1, 4))),
    "batch": (ShapeError, "batch=1 on axis 0", lambda c: c.observe(c.read(0), weights(2, 2, 1, 4))),
    "no heads": (ShapeError, "kv_heads=2", lambda c: c.observe(c.read(0), weights(1, 0, 1, 4))),
    "heads": (
        ShapeError,
        "multiple of kv_heads=2",
        lambda c: c.observe(c.read(0), weights(1, 3, 1, 4)),
    ),
    "queries": (ShapeError, "queries=1", lambda c: c.observe(c.read(0), weights(1, 2, 2, 4))),
    "rows": (
        ShapeError,
        "rows=4 on axis 3, got 5",
        lambda c: c.observe(c.read(0), weights(1, 2, 1, 5)),
    ),
    "NaN": (PolicyError, "at least 0, got nan", lambda c: c.observe(c.read(0), spoiled(np.nan))),
    "negative": (PolicyError, "got -1", lambda c: c.observe(c.read(0), spoiled(-1))),
    "infinite": (PolicyError, "finite", lambda c: c.observe(c.read(0), spoiled(np.inf))),
    "a list": (DTypeError, "ndarray, got list", lambda c: c.observe(c.read(0), [[[[1.0]]]])),
    "integers": (
        DTypeError,
        "got int64",
        lambda c: c.observe(c.read(0), np.ones((1, 2, 1, 4), int)),
    ),
    "no view": (DTypeError, "expected a KVView", lambda c: c.observe(0, weights(1, 2, 1, 4))),
    "a copy": (LayerError, "no copy", lambda c: c.observe(c.read(0).copy(), weights(1, 2, 1, 4))),
    "another cache's": (
        LayerError,
        "this cache",
        lambda c: c.copy().observe(c.read(0), weights(1, 2, 1, 4)),
    ),
    "no policy there": (
        PolicyError,
        "layer 1 has no",
        lambda c: c.observe(c.read(1), weights(1, 2, 1, 4)),
    ),
    "touch of no policy": (PolicyError, "layer 1 has no", lambda c: c.touch(1, [0])),
    "touch of no layer": (LayerError, "expected 0 to 1", lambda c: c.touch(2, [0])),
    "touch of what is gone": (
        EvictedError,
        "position 1 is gone in layer 0",
        lambda c: c.touch(0, [1]),
    ),
    "pin beyond": (PositionError, "position 6 was never written", lambda c: c.pin([5, 6, 10**30])),
    "pin of a negative": (PositionError, "position -1 was never", lambda c: c.pin([-1])),
    "pin of what is gone": (EvictedError, "position 2 is gone", lambda c: c.pin([2, 5])),
    "unpin of what is gone": (EvictedError, "position 1 is gone", lambda c: c.unpin([1])),
    "pin of a float": (DTypeError, "expected an int", lambda c: c.pin([1.0])),
    "pin of a bool": (DTypeError, "expected an int", lambda c: c.pin([True])),
    "pin of no list": (DTypeError, "a list of int, got 3", lambda c: c.pin(3)),
    "evict of a text": (DTypeError, "a list of int", lambda c: c.evict("3")),
    "evict of a sink": (
        PolicyError,
        "position 0 is pinned in layer 0, or a sink",
        lambda c: c.evict([0]),
    ),
    "evict of a pinned one": (PolicyError, "position 4 is pinned", lambda c: c.evict([4, 5])),
    "evict of what is gone": (EvictedError, "position 1 is gone", lambda c: c.evict([1])),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(name: str) -> None:
    error, message, call = WRONG[name]
    cache = make([MODE, Circular(4)], layers=2, kv_heads=2)
    for layer in (0, 1) * 6:
        cache.update(layer, ROW, ROW)
    cache.pin([4])
    view = cache.read(0)
    with pytest.raises(error, match=message) as caught:
        call(cache)
    assert type(caught.value) is error
    settle(cache)
    assert view.positions.tolist() == [0, 3, 4, 5]
    assert feed_two(cache) == [3, 5]


def feed_two(cache: Any) -> list[int]:
    """Who gives way in the next two updates of layer 0."""
    return [int(cache.update(0, ROW, ROW).evicted[0]) for _ in range(2)]


def test_a_stale_view_cannot_be_observed() -> None:
    cache = fed(MODE, 5)
    view = cache.read(0)
    feed(cache, 1)
    with pytest.raises(StaleViewError):
        cache.observe(view, weights(1, 1, 1, 4))


@pytest.mark.parametrize("verb", ["pin", "unpin", "evict"])
def test_without_any_policy_there_is_nothing_to_pin(verb: str) -> None:
    cache = fed([Append(9), Circular(4)], 3, layers=2)
    with pytest.raises(PolicyError, match="expected a layer with an eviction policy, got none"):
        getattr(cache, verb)([1])


def test_pins_touches_and_weights_leave_views_as_they_are_and_evict_does_not() -> None:
    cache = fed([MODE, Circular(4)], 4, layers=2)
    views = [cache.read(layer) for layer in range(2)]
    cache.pin([1])
    cache.touch(0, [2])
    cache.observe(views[0], weights(1, 1, 1, 4))
    cache.unpin([1])
    cache.evict([])
    assert shown(views[0]) == [0, 1, 2, 3]
    cache.evict([2])
    settle(cache)
    assert shown(views[1]) == [0, 1, 2, 3]
    with pytest.raises(StaleViewError, match="tokens were taken back, replaced or moved"):
        views[0].keys  # noqa: B018


def test_temporal_order_is_gathered_once_and_physical_order_is_the_ring() -> None:
    cache = fed(MODE, 6)
    view = cache.read(0)
    assert len(view.segments) == 1
    assert view.keys is view.keys
    assert not np.shares_memory(view.keys, cache.rings[0]._keys)
    assert cache.stats.rows_gathered == 4
    assert np.shares_memory(cache.read(0, order="physical").keys, cache.rings[0]._keys)


def test_a_hole_at_the_end_is_not_shown_and_one_in_the_middle_is_masked() -> None:
    cache = fed(MODE, 4)
    cache.evict([1, 3])
    settle(cache)
    view = cache.read(0, order="physical")
    assert view.positions.tolist() == [0, -1, 2]
    assert view.mask().tolist() == [[True, False, True]]
    assert shown(cache.read(0)) == [0, 2]


def test_a_copied_view_keeps_its_rows() -> None:
    cache = fed(MODE, 6)
    copies = [cache.read(0, order=order).copy() for order in ("temporal", "physical")]
    feed(cache, 3)
    assert [copy.positions.tolist() for copy in copies] == [[0, 3, 4, 5], [0, 4, 5, 3]]
    assert shown(copies[0]) == [0, 3, 4, 5]


class Asked(EvictionPolicy):
    """Counts how often it is asked; the oldest gives way."""

    times = 0

    def victims(self, candidates, count):
        Asked.times += 1
        return candidates[:count]


def test_a_policy_of_ones_own_is_asked_once_all_is_checked_and_once_for_an_update() -> None:
    cache = make(Append(2, eviction=Asked()))
    feed(cache, 2)
    Asked.times = 0
    wide = np.ones((1, 1, 1, 3), np.float32)
    with pytest.raises(ShapeError, match="head_dim"):
        cache.update(0, wide, wide)
    assert Asked.times == 0
    feed(cache, 1)
    feed(cache, 2)
    assert Asked.times == 2
