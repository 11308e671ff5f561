"""Eviction among threads: who waits for readers, what a step takes back, histories explained."""

import numpy as np
import pytest

from kvring import FIFO, LRU, Append, LockError, ShapeError
from tests.by_hand import feed, make, rows, shown
from tests.threads.histories import EVICTING
from tests.threads.people import Person, somebody_inside
from tests.threads.points import NoLock
from tests.threads.sizes import either
from tests.threads.test_linearizable import found, wrong_histories


def two_layers(policy=None):
    cache = make(Append(6, eviction=policy or LRU()), layers=2)
    for layer in range(2):
        feed(cache, 4, layer=layer)
    return cache


def observe(cache):
    cache.observe(cache.read(0), np.ones((1, 1, 1, 4)) / 4)


CHANGE_NO_ROWS = {
    "touch": lambda cache: cache.touch(0, [1]),
    "observe": observe,
    "pin": lambda cache: cache.pin([1]),
    "unpin": lambda cache: cache.unpin([1]),
}


def test_evict_waits_for_readers_of_any_layer():
    cache = two_layers()
    with somebody_inside(lambda: cache.reading(1)) as view:
        person = Person(lambda: cache.evict([1]))
        assert person.is_waiting()
        assert shown(view) == [0, 1, 2, 3]
    person.outcome()
    assert shown(cache.read(0)) == shown(cache.read(1)) == [0, 2, 3]
    cache.check()


@pytest.mark.parametrize("name", CHANGE_NO_ROWS)
def test_what_changes_no_rows_does_not_wait_for_readers(name):
    cache = two_layers()
    with somebody_inside(lambda: cache.reading(0)) as view:
        CHANGE_NO_ROWS[name](cache)
        assert shown(view) == [0, 1, 2, 3]
    with cache.reading(0) as view:  # nor for its own thread
        CHANGE_NO_ROWS[name](cache)
        assert shown(view) == [0, 1, 2, 3]
    cache.check()


def test_evict_in_a_thread_that_reads_is_an_error_and_drops_nothing():
    cache = two_layers()
    with cache.reading(1), pytest.raises(LockError, match="this thread reads a layer"):
        cache.evict([1])
    assert shown(cache.read(0)) == shown(cache.read(1)) == [0, 1, 2, 3]
    cache.check()


def step_and_evict(cache):
    with cache.step():
        cache.update(0, *rows(4, 5))
        cache.evict([1])


def uneven_step(cache):
    with cache.step(tokens=2):
        cache.update(0, *rows(4, 6))
        cache.update(1, *rows(4, 5))


def test_evict_inside_a_step_is_an_error_and_the_step_is_taken_back():
    cache = two_layers()
    with pytest.raises(LockError, match="in a step of this cache"):
        step_and_evict(cache)
    assert shown(cache.read(0)) == shown(cache.read(1)) == [0, 1, 2, 3]
    cache.check()


@pytest.mark.parametrize("policy", [FIFO(), LRU()], ids=str)
def test_a_step_taken_back_leaves_pins_and_the_rows_that_had_not_given_way(policy):
    cache = two_layers(policy)
    cache.pin([0])
    cache.evict([2])
    with pytest.raises(ShapeError, match="layer 1 took 1 tokens"):
        uneven_step(cache)
    assert shown(cache.read(0)) == shown(cache.read(1)) == [0, 1, 3]
    cache.check()
    for layer in range(2):
        for position in range(4, 8):
            cache.update(layer, *rows(position, position + 1))
        assert shown(cache.read(layer)) == [0, 3, 4, 5, 6, 7]
    cache.check()


@pytest.mark.parametrize("mode", EVICTING, ids=str)
def test_every_history_of_layers_that_evict_has_an_explanation(mode):
    assert next(wrong_histories(either(20, 200), 5000, mode), None) is None


@pytest.mark.parametrize("mode", EVICTING, ids=str)
def test_layers_that_evict_without_locks_are_found(mode):
    assert found(mode, lock=NoLock)
