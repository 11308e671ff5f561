"""Recorded histories of 2 to 8 threads: some order of the calls explains every one of them."""

import random

import pytest

from kvring.config import Append, CacheConfig
from kvring.reference import ReferenceCache
from tests.threads.faults import FaultyCache, KeysThenValues, TornPositions
from tests.threads.histories import MODES, recorded
from tests.threads.linearizing import Call, TimeLimitError, explanation, told
from tests.threads.operations import Operation
from tests.threads.points import NoLock
from tests.threads.sizes import either

BATCH = either(20, 200)  # histories per test


def wrong_histories(count, seed, mode, **how):
    """Those of `count` histories that nothing explains."""
    for number in range(seed, seed + count):
        dice = random.Random(number)
        threads = dice.randint(2, 8)
        calls = dice.randint(2, max(2, 24 // threads))
        start, history = recorded(number, mode, threads, calls, **how)
        if explanation(start, history) is None:
            yield told(history)


def found(mode, **how):
    """Whether a planted fault shows: in a history, in the invariants, or in what a call raises.

    That the cache itself raises nothing in the same calls, the tests of its own histories show.
    """
    try:
        return next(wrong_histories(2000, 0, mode, **how), None) is not None
    except Exception:
        return True


@pytest.mark.parametrize("seed", range(0, 3000, 1000))
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_every_history_of_the_cache_has_an_explanation(mode, seed):
    assert next(wrong_histories(BATCH, seed, mode), None) is None


@pytest.mark.parametrize("mode", MODES[:1], ids=str)
def test_the_measure_itself_is_explained(mode):
    assert next(wrong_histories(BATCH, 7, mode, kind=FaultyCache), None) is None


@pytest.mark.parametrize("fault", [KeysThenValues, TornPositions])
def test_a_planted_fault_is_found(fault):
    assert found(MODES[0], kind=fault)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_cache_without_locks_is_found(mode):
    assert found(mode, lock=NoLock)


def small_reference():
    config = CacheConfig.build(layers=1, kv_heads=1, head_dim=1, strategy=Append(9))
    return ReferenceCache(config)


UPDATE = Call(0, Operation("update", rows=(7,)), 1, 6, [(0, 7, 7.5)])


@pytest.mark.parametrize(
    ("first", "second", "explained"),
    [
        ([], [], True),
        ([], [(0, 7, 7.5)], True),
        ([(0, 7, 7.5)], [(0, 7, 7.5)], True),
        ([(0, 7, 7.5)], [], False),
        ([(0, 8, 8.5)], [(0, 8, 8.5)], False),
        ([(0, 7, 8.5)], [(0, 7, 7.5)], False),
    ],
    ids=str,
)
def test_reads_during_an_update_see_it_or_not_but_never_unsee_it(first, second, explained):
    read = Operation("read")
    history = [UPDATE, Call(1, read, 2, 3, first), Call(1, read, 4, 5, second)]
    assert (explanation(small_reference(), history) is not None) == explained


def test_a_call_that_ended_before_another_began_comes_before_it():
    late = Call(1, Operation("read"), 7, 8, [])
    assert explanation(small_reference(), [UPDATE, late]) is None


def test_a_search_that_takes_too_long_is_no_answer():
    with pytest.raises(TimeLimitError):
        explanation(small_reference(), [UPDATE], seconds=-1.0)
