"""Law 8: a call that raises has changed nothing, and an interrupt leaves the state before or after.

Content is compared, not counters alone: a layer that lost a row it still counts shows another
number or the NaN that unused slots are filled with.
"""

import itertools
import time

import numba
import numpy as np
import pytest

from kvring import Append, Circular, KVRingError, Replace
from tests.by_hand import CALLS, fed, make, rows, settle, shown
from tests.interrupts import OneSignal, at_every_bytecode, let_go

MODES = [Append(20), Circular(3, 1, 2), Replace(9)]


def content(cache):
    """All that a caller can see of every layer."""
    return [
        (
            cache.rings[layer].state.seq_len,
            cache.positions(layer).tolist(),
            shown(cache.read(layer)),
        )
        for layer in range(cache.layers)
    ]


def assert_before_or_after(cache, before, after, where):
    cache.check()
    settle(cache)
    assert content(cache) in (before, after), where


def filled(mode):
    cache = make(mode, layers=2)
    for layer in range(2):
        for start in range(0, 9, 3):
            cache.update(layer, *rows(start if not isinstance(mode, Replace) else 0, 3 + start))
    return cache


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("mode", MODES[:2], ids=str)
def test_an_interrupt_at_any_bytecode_leaves_the_state_before_or_after(mode, name):
    call = CALLS[name]
    before = content(filled(mode))
    finished = filled(mode)
    call(finished)
    after = content(finished)

    def interrupted(interrupt):
        cache = filled(mode)
        with interrupt:
            call(cache)
        let_go(cache, interrupt)
        assert_before_or_after(cache, before, after, interrupt.where)

    assert at_every_bytecode(interrupted) > 20


@pytest.mark.parametrize("error", [TypeError, LookupError])
@pytest.mark.parametrize("order", ["temporal", "physical"])
@pytest.mark.parametrize("mode", MODES[:2], ids=str)
def test_what_a_signal_handler_raises_is_never_taken_for_the_calls_own(mode, order, error):
    before, finished = content(filled(mode)), filled(mode)
    finished.update(0, *rows(9, 10))
    after = content(finished)

    def interrupted(interrupt):
        cache, came_back = filled(mode), False
        with interrupt:
            cache.update(0, *rows(9, 10), order=order)
            came_back = True
        assert came_back is not interrupt.fired, f"swallowed at {interrupt.where}"
        for ring in cache.rings:
            if ring.lock.locked():
                ring.lock.release()
        assert_before_or_after(cache, before, after, interrupt.where)

    assert at_every_bytecode(interrupted, error=error) > 20


@pytest.mark.parametrize("given", [(0, 4), (0, 0)], ids=["four rows", "no rows"])
def test_an_interrupted_replacement_shows_the_old_rows_or_the_new(given):
    def interrupted(interrupt):
        cache = filled(Replace(9))
        with interrupt:
            cache.update(0, *rows(*given))
        let_go(cache, interrupt)
        settle(cache)
        assert shown(cache.read(0)) in (list(range(9)), list(range(*given))), interrupt.where

    assert at_every_bytecode(interrupted) > 20


@pytest.mark.parametrize("mode", [Append(9), Circular(3, 1, 2)], ids=str)
def test_a_refused_call_interrupted_anywhere_leaves_the_next_one_to_work(mode):
    wrong = np.zeros((1, 1, 2, 1), np.float32)

    def interrupted(interrupt):
        cache = fed(mode, 8)
        before = content(cache)
        with interrupt, pytest.raises((KVRingError, KeyboardInterrupt)):
            cache.update(0, wrong, wrong)
        let_go(cache, interrupt)
        assert content(cache) == before, interrupt.where
        view = cache.update(0, *rows(8, 9))
        settle(cache)
        assert shown(view)[-1] == 8, interrupt.where

    assert at_every_bytecode(interrupted) > 20


@pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="without jit a kernel is Python, which signals interrupt"
)
def test_a_storm_of_signals_never_loses_a_row_and_never_leaves_a_lock_held():
    cache = fed(Circular(3, 1, 2), 12)
    interrupts, deadline = 0, time.monotonic() + 2.0
    while time.monotonic() < deadline:
        interrupts += interrupted_update(cache)
        n = cache.seq_len
        assert not cache.rings[0].lock.locked()
        assert shown(cache.read(0)) == [0, n - 3, n - 2, n - 1]
        assert cache.positions(0).tolist() == [0, *range(n - 5, n)]
        cache.truncate(n - 2)
        cache.check()
        for position in (n - 2, n - 1):
            cache.update(0, *rows(position, position + 1))
    assert interrupts > 100


def interrupted_update(cache):
    """Update again and again until a signal ends it."""
    try:
        with OneSignal(0.0003):
            for position in itertools.count(cache.seq_len):
                cache.update(0, *rows(position, position + 1))
    except KeyboardInterrupt:
        return 1


@pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="without jit a kernel is Python, which signals interrupt"
)
@pytest.mark.parametrize("name", CALLS)
def test_signals_during_any_call_leave_the_state_before_or_after_and_no_lock_held(name):
    call = CALLS[name]
    before, finished = content(filled(MODES[1])), filled(MODES[1])
    call(finished)
    after = content(finished)
    interrupts = 0
    for number in range(300):
        cache = filled(MODES[1])
        try:
            with OneSignal(0.00001 + number % 50 * 0.000004):
                call(cache)
        except KeyboardInterrupt:
            interrupts += 1
        assert not any(ring.lock.locked() for ring in cache.rings)
        assert_before_or_after(cache, before, after, name)
    assert interrupts > 10


WRONG = {
    "keys of the wrong shape": lambda c: c.update(0, rows(8, 9)[0][0], rows(8, 9)[1]),
    "values of the wrong shape": lambda c: c.update(0, rows(8, 9)[0], rows(8, 10)[1]),
    "keys of another dtype": lambda c: c.update(0, rows(8, 9)[0].astype("f8"), rows(8, 9)[1]),
    "values that are a list": lambda c: c.update(0, rows(8, 9)[0], rows(8, 9)[1].tolist()),
    "no such layer": lambda c: c.update(2, *rows(8, 9)),
    "no such order": lambda c: c.update(0, *rows(8, 9), order="random"),
    "a total too small": lambda c: c.update(0, *rows(8, 10), seq_len=1),
    "a truncate too far": lambda c: c.truncate(99),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_refused_call_changes_nothing_and_leaves_views_fresh(mode, name):
    cache = filled(mode)
    before, stats, view = content(cache), cache.stats, cache.read(0)
    bytes_before = [ring.keys_shown.tobytes() + ring.values_shown.tobytes() for ring in cache.rings]
    with pytest.raises(KVRingError):
        WRONG[name](cache)
    cache.check()
    assert content(cache) == before
    assert cache.stats == stats
    assert bytes_before == [
        ring.keys_shown.tobytes() + ring.values_shown.tobytes() for ring in cache.rings
    ]
    assert len(shown(view)) == len(before[0][2]), "the view made before is not stale"


@pytest.mark.parametrize("mode", [Append(9), Circular(3, 1, 2)], ids=str)
@pytest.mark.parametrize("order", ["temporal", "physical"])
def test_an_update_of_no_tokens_is_checked_changes_nothing_and_shows_nothing(mode, order):
    cache = fed(mode, 8)
    before, earlier = content(cache), cache.read(0)
    view = cache.update(0, *rows(0, 0), order=order)
    settle(cache)
    assert shown(view) == []
    assert view.mask().shape == (0, 0)
    assert content(cache) == before
    assert shown(earlier) == before[0][2]
    with pytest.raises(KVRingError):
        cache.update(0, rows(0, 0)[0], rows(0, 1)[1])
