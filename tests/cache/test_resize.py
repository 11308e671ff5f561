"""Other numbers of slots: what is there stays, as the reference says, and nothing is half done."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest

from kvring import (
    FIFO,
    LRU,
    Append,
    CapacityError,
    Circular,
    ConfigError,
    DTypeError,
    EvictedError,
    HeavyHitter,
    KVCache,
    LockError,
    Replace,
    StaleViewError,
)
from tests.beside import Beside
from tests.by_hand import fed, feed, rows, settle, shown
from tests.often import often
from tests.policies import NewestFirst

GROWN = {
    "append": (Append(6), {"capacity": 9}),
    "append, smaller": (Append(9), {"capacity": 6}),
    "replace": (Replace(6), {"capacity": 7}),
    "more rollback": (Circular(3, 1, 1), {"rollback_tokens": 4}),
    "less rollback": (Circular(3, 1, 4), {"rollback_tokens": 1}),
    "smaller window": (Circular(4, 1, 1), {"window": 2}),
    "window for rollback": (Circular(4, 2, 1), {"window": 3, "rollback_tokens": 2}),
    "FIFO": (Append(5, eviction=FIFO(), sink_tokens=1), {"capacity": 7}),
    "LRU": (Append(5, eviction=LRU()), {"capacity": 8}),
    "heavy hitters": (Append(5, eviction=HeavyHitter(2)), {"capacity": 6}),
    "one's own": (Append(5, eviction=NewestFirst()), {"capacity": 7}),
}


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("tokens", [0, 3, 6, 11])
@pytest.mark.parametrize("name", GROWN)
def test_what_is_there_stays_and_goes_on_as_in_the_reference(
    name: str, tokens: int, layout: Any
) -> None:
    mode, numbers = GROWN[name]
    both = Beside(mode, batch=2, layout=layout)
    for _ in range(tokens):
        both.feed(1)
    both.do(lambda cache: cache.resize(**numbers))
    both.compare()
    for chunk in (1, 2, 1, 3):
        both.feed(chunk)
        both.compare()
    back = max(both.reference.seq_len - 2, 0)
    both.do(lambda cache: cache.truncate(back))
    both.compare()
    both.feed(4)
    both.compare()


@pytest.mark.parametrize("seed", range(often(6, at_least=2)))
@pytest.mark.parametrize(
    "mode",
    [
        Append(6),
        Replace(5),
        Circular(3, 1, 2),
        Append(5, eviction=LRU(), sink_tokens=1),
        Append(4, eviction=HeavyHitter(1)),
        [Circular(2), Append(9), Circular(4, 2, 1)],
    ],
    ids=str,
)
def test_any_resize_among_other_calls_does_what_the_reference_does(mode: Any, seed: int) -> None:
    chance = random.Random(seed)
    both = Beside(mode, batch=2, layers=3)
    for _ in range(25):
        anything(both, chance)
        both.compare()


def anything(both: Beside, chance: random.Random) -> None:
    """One call of some kind on both."""
    number, back = chance.randint(0, 8), both.reference.seq_len - chance.randint(0, 3)
    names = chance.sample(["capacity", "window", "rollback_tokens"], chance.randint(1, 2))
    numbers = {name: chance.randint(1, 9) for name in names}
    calls = {
        "truncate": lambda cache: cache.truncate(back),
        "resize": lambda cache: cache.resize(**numbers),
        "reorder": lambda cache: cache.reorder([number % 2, 0]),
        "evict": lambda cache: cache.evict([number]),
    }
    verb = chance.choice(["feed", "feed", *calls])
    if verb == "feed":
        both.feed(chance.choice([1, 1, 2, 4]))
    else:
        both.do(calls[verb])


def test_rows_of_a_wrapped_ring_go_to_the_slots_of_the_new_one() -> None:
    cache = fed(Circular(4, 1, 2), 12)
    assert cache.slots(0).tolist() == [0, 6, 1, 2, 3, 4, 5]
    cache.resize(rollback_tokens=0)
    settle(cache)
    assert cache.positions(0).tolist() == [0, 8, 9, 10, 11]
    assert cache.slots(0).tolist() == [0, 4, 1, 2, 3]
    assert (cache.rings[0].capacity, cache.rings[0].head) == (5, 4)
    cache.resize(rollback_tokens=3)
    settle(cache)
    assert cache.slots(0).tolist() == [0, 1, 2, 3, 4]
    assert shown(feed(cache, 3))[:3] == [0, 9, 10]
    assert cache.positions(0).tolist() == [0, *range(8, 15)]


def test_where_slots_stay_no_memory_moves() -> None:
    cache = fed(Circular(4, 1, 2), 12)
    where = cache.rings[0]._keys.ctypes.data
    cache.resize(window=3, rollback_tokens=3)
    settle(cache)
    assert cache.rings[0]._keys.ctypes.data == where
    assert cache.positions(0).tolist() == [0, *range(6, 12)]
    assert shown(cache.read(0)) == [0, 9, 10, 11]
    cache.truncate(9)
    assert shown(cache.read(0)) == [0, 6, 7, 8]


def test_a_layer_that_is_full_goes_on_when_it_has_grown() -> None:
    cache = fed(Append(4), 4)
    with pytest.raises(CapacityError):
        feed(cache, 1)
    cache.resize(capacity=1_000_000)
    assert shown(feed(cache, 3)) == list(range(7))
    assert cache.nbytes == 1_000_000 * 8


def test_memory_is_given_back() -> None:
    cache = fed(Append(4096), 3)
    view = cache.read(0)
    keys = view.keys
    memory = weakref.ref(base_of(cache.rings[0]._values))
    cache.resize(capacity=8)
    gc.collect()
    assert memory() is None
    assert cache.nbytes == 8 * 2 * 4
    assert keys[0, 2, 0, 0] == 2, "what was taken out of a view keeps its own memory"
    with pytest.raises(StaleViewError):
        view.keys.any()


def base_of(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_copies_of_views_stay_what_they_are() -> None:
    cache = fed(Circular(4, 1, 2), 12)
    copy, physical = cache.read(0).copy(), cache.read(0, order="physical").copy()
    cache.resize(window=1, rollback_tokens=0)
    assert copy.positions.tolist() == [0, 8, 9, 10, 11]
    assert copy.mask().tolist() == [[True] * 5]
    assert physical.positions.tolist() == [0, 7, 8, 9, 10, 11, 6]
    assert physical.mask().tolist() == [[True, False, True, True, True, True, False]]


def test_config_stats_and_copies_tell_of_the_new_numbers() -> None:
    cache = fed(Circular(4, 1, 2), 12)
    before = cache.stats
    cache.resize(window=3)
    assert cache.stats == before, "rows that go have given way to nobody"
    assert cache.config.layers[0].strategy == Circular(3, 1, 2)
    assert "window=3" in repr(cache)
    twin = cache.copy()
    assert (twin.nbytes, shown(twin.read(0))) == (cache.nbytes, [0, 9, 10, 11])  # type: ignore[arg-type]


def test_layers_of_one_mode_still_share_their_plans() -> None:
    cache = fed(Circular(3), 5, layers=3)
    cache.resize(window=2)
    feed(cache, 1, layer=0)
    plan = cache._ledger[0]
    for layer in (1, 2):
        feed(cache, 1, layer=layer)
        assert cache._ledger[layer] is plan


def test_layers_that_do_not_have_the_number_stay_as_they_are() -> None:
    cache = fed([Append(9), Circular(3)], 5, layers=2)
    where = cache.rings[0]._keys.ctypes.data
    cache.resize(window=2)
    settle(cache)
    assert cache.rings[0]._keys.ctypes.data == where
    assert [ring.capacity for ring in cache.rings] == [9, 2]
    assert (shown(cache.read(0)), shown(cache.read(1))) == ([0, 1, 2, 3, 4], [3, 4])


@pytest.mark.parametrize(
    ("strategy", "numbers", "error", "message"),
    [
        (Append(4), {}, ConfigError, "expected capacity, window or rollback_tokens, got none"),
        (Append(4), {"window": 3}, ConfigError, "window: expected a cache with a layer in circ"),
        (Circular(3), {"capacity": 3}, ConfigError, "capacity: expected a cache with a layer in"),
        (Append(4), {"capacity": 9, "window": 3}, ConfigError, "window: expected a cache with"),
        (Append(4), {"capacity": 0}, ConfigError, "capacity: expected an integer >= 1, got 0"),
        (Circular(3), {"rollback_tokens": -1}, ConfigError, "rollback_tokens: expected"),
        (
            Append(4, eviction=FIFO(), sink_tokens=3),
            {"capacity": 3},
            ConfigError,
            "sink_tokens: expected fewer than capacity=3",
        ),
        (Append(4), {"capacity": True}, DTypeError, "capacity: expected an int, got True"),
        (Append(4), {"capacity": 8.0}, DTypeError, "capacity: expected an int"),
        (Append(4), {"capacity": 2}, CapacityError, "layer 0 to capacity 2: batch row 0 holds 3"),
        (Replace(4), {"capacity": 2}, CapacityError, "holds 3 rows; truncate, evict or reset"),
        (
            Circular(2),
            {"window": 3},
            EvictedError,
            "window of layer 0 from 2 to 3: of 3 tokens only 2 are still there; reset",
        ),
        (Append(4), {"capacity": 1 << 62}, ConfigError, "cannot reserve"),
        (Append(4, eviction=FIFO()), {"capacity": 1 << 62}, ConfigError, "cannot reserve"),
        (Append(4, eviction=LRU()), {"capacity": 1 << 70}, ConfigError, "cannot reserve"),
        (Append(4, eviction=HeavyHitter(2)), {"capacity": 1 << 70}, ConfigError, "cannot reserve"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    strategy: Any, numbers: dict[str, Any], error: Any, message: str
) -> None:
    cache = fed(strategy, 3) if not isinstance(strategy, Replace) else fed(strategy, 0)
    if isinstance(strategy, Replace):
        cache.update(0, *rows(0, 3))
    view, config = cache.read(0), cache.config
    before = shown(view)
    with pytest.raises(error, match=message):
        cache.resize(**numbers)
    assert cache.config is config
    assert shown(view) == before, "not stale"
    settle(cache)


def test_one_layer_that_cannot_leaves_all_as_they_were() -> None:
    cache = fed([Circular(4), Circular(2)], 3, layers=2)
    with pytest.raises(EvictedError, match="layer 1"):
        cache.resize(window=5)
    settle(cache)
    assert [ring.capacity for ring in cache.rings] == [4, 2]


def test_who_reads_or_steps_cannot_resize() -> None:
    cache = fed(Append(9), 3)
    with cache.reading(0), pytest.raises(LockError, match="this thread reads"):
        cache.resize(capacity=12)
    with pytest.raises(LockError, match="resize it in the middle"), cache.step():
        cache.resize(capacity=12)
    assert isinstance(cache, KVCache)
    assert cache.rings[0].capacity == 9
