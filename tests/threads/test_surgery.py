"""Surgery beside writers and readers: always as if one had come after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvring import LRU, Append, Circular, KVCache, KVRingError, StaleViewError
from tests.beside import resident
from tests.threads.points import instrument, waits_pass
from tests.threads.schedules import Schedule, every_schedule, points_at_every_line_of
from tests.threads.sizes import only_in_full, only_in_whole

MODES = {"ring": Circular(2, 1, 1), "append": Append(9), "LRU": Append(4, eviction=LRU())}
SURGERY: dict[str, Callable[[KVCache], Any]] = {
    "reorder": lambda cache: cache.reorder([1, 0]),
    "select": lambda cache: cache.select([1]),
    "repeat": lambda cache: cache.repeat(2),
    "add": lambda cache: cache.add_batch_rows(cache),
    "resize": lambda cache: cache.resize(
        **{"capacity" if hasattr(cache.config.layers[0].strategy, "eviction") else "window": 4}
    ),
}


def filled(mode: Any, layers: int = 2) -> KVCache:
    twin: KVCache = _filled(mode, layers).copy()  # in a third of the time, for thousands of them
    return twin


@functools.cache
def _filled(mode: Any, layers: int) -> KVCache:
    cache = KVCache(layers=layers, kv_heads=1, head_dim=1, batch=2, strategy=mode)
    for position in range(4):
        for layer in range(layers):
            cache.update(layer, *rows(2, position))
    return cache


def rows(batch: int, position: int) -> tuple[np.ndarray, np.ndarray]:
    keys = (position + 100 * np.arange(batch, dtype=np.float32)).reshape(-1, 1, 1, 1)
    return keys, keys + 0.5


def update(cache: KVCache) -> Any:
    """One token of a batch of two, as one who knows nothing of the surgery."""
    return cache.update(0, *rows(2, 4)).positions.tolist()


def chunk(cache: KVCache) -> Any:
    keys, values = (np.concatenate(pair, axis=1) for pair in zip(rows(2, 4), rows(2, 5)))  # noqa: B905
    return cache.update(0, keys, values).positions.tolist()


def read(cache: KVCache) -> Any:
    return cache.read(0).copy().keys.tolist()


def reading(cache: KVCache) -> Any:
    with cache.reading(0) as view:
        first = view.keys.tolist()
        assert view.keys.tolist() == first
    return first


def copied(cache: KVCache) -> Any:
    twin: Any = cache.copy()
    return content(twin)


def facts(cache: KVCache) -> Any:
    """Without a lock, and yet of one moment each."""
    return len(cache.seq_lens[0]), cache.positions(0).tolist()


def content(cache: KVCache) -> list[Any]:
    """What is left of it."""
    cache.check()
    seen: list[Any] = [cache.batch]
    for layer in range(2):
        keys, values = cache.read(layer)
        assert np.array_equal(keys + 0.5, values), "K and V of different rows"
        held = [resident(cache, layer, batch_row)[0] for batch_row in range(cache.batch)]
        seen += [cache.seq_lens[layer].tolist(), held, keys.tolist()]
    return seen


def outcome(call: Callable[[KVCache], Any], cache: KVCache) -> Any:
    try:
        return call(cache)
    except StaleViewError:
        return "stale"
    except KVRingError as error:
        return type(error).__name__


def in_turn(mode: Any, first: Any, second: Any) -> tuple[Any, ...]:
    """What both give, and what is left, if `first` comes first."""
    cache = filled(mode)
    given = outcome(first, cache), outcome(second, cache)
    return *given, content(cache)


CASES = [(mode, name, update) for mode in MODES for name in SURGERY]
CASES += [("ring", name, other) for name in SURGERY for other in (chunk, read, reading, copied)]


@pytest.mark.parametrize(("mode", "name", "other"), CASES)
def test_every_interleaving_is_as_if_one_came_after_the_other(
    mode: str, name: str, other: Callable[[KVCache], Any]
) -> None:
    surgery = SURGERY[name]
    one, two, left = in_turn(MODES[mode], surgery, other)
    allowed = [(one, two, left)]
    two, one, left = in_turn(MODES[mode], other, surgery)
    allowed.append((one, two, left))

    def run(schedule: Schedule) -> Any:
        cache = filled(MODES[mode])
        instrument(cache, schedule)
        given: dict[str, Any] = {}

        def play(name: str, call: Callable[[KVCache], Any]) -> Callable[[], None]:
            def work() -> None:
                given[name] = outcome(call, cache)

            return work

        with waits_pass(schedule):
            schedule.run([play("one", surgery), play("two", other)])
        return given["one"], given["two"], content(cache)

    found = list(every_schedule(run))
    assert len(found) > 1
    for result in found:
        if result[1] == "stale":  # looked at after the surgery, taken before
            assert result[2] in [left for *_, left in allowed]
        else:
            assert result in allowed


# A second layer makes nine times as many schedules; it matters where batch rows come or go.
CHANGES_BATCH = ("select", "repeat", "add")


@only_in_full
@pytest.mark.parametrize(
    ("name", "layers"),
    [(name, 1) for name in SURGERY]
    + [pytest.param(name, 2, marks=only_in_whole) for name in CHANGES_BATCH],
)
def test_facts_without_a_lock_are_those_of_before_or_after(name: str, layers: int) -> None:
    surgery = SURGERY[name]
    before, after = filled(MODES["LRU"], layers), filled(MODES["LRU"], layers)
    surgery(after)
    allowed = [facts(before), facts(after)]
    mixed = [(one[0], two[1]) for one in allowed for two in allowed]

    def run(schedule: Schedule) -> Any:
        cache = filled(MODES["LRU"], layers)
        instrument(cache, schedule)
        found = []

        def look() -> None:
            with points_at_every_line_of("_standing", schedule):
                found.append(facts(cache))

        schedule.run([look, lambda: surgery(cache)])
        return found[0]

    assert all(found in mixed for found in every_schedule(run))
