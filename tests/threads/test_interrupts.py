"""Ctrl-C at every bytecode and at any moment: before or after, no lock held, also when refused."""

import itertools
import signal
import threading

import numba
import pytest

from kvring import KVCache, KVRingError, warm_up
from tests.by_hand import rows, shown
from tests.interrupts import OneSignal, at_every_bytecode, within
from tests.threads import faults
from tests.threads.interrupted import (
    ALLOWED,
    REFUSED,
    content,
    contents_around,
    fault,
    filled,
    resident,
)
from tests.threads.sizes import FULL, either

compiled_only = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="without jit a kernel is Python, which signals interrupt"
)
CALLS = ALLOWED | REFUSED
QUICK = ("one token", "reading", "a dtype", "reset")
ONE_TOKEN = ALLOWED["one token"]


def faults_at_bytecodes(call, kind=KVCache, also=""):
    """What interrupts at each bytecode of `call` do wrong, and how many there were."""
    allowed, found = contents_around(call, kind), []

    def interrupted(interrupt):
        with within(20):  # a hang is a failure, not the end of the run
            found.append(fault(call, allowed, interrupt, filled(kind)))

    count = at_every_bytecode(interrupted, also=also, stride=1)  # planted faults are short
    return count, [text for text in found if text]


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_at_any_bytecode_leaves_before_or_after_and_no_lock(name):
    if not FULL and name not in QUICK:
        pytest.skip("takes long: make threads")
    count, found = faults_at_bytecodes(CALLS[name])
    assert count > 20
    assert found == []


@pytest.mark.parametrize("kind", [faults.CopyThenPublish, faults.AcquireThenTry])
def test_a_planted_fault_is_found_by_bytecodes(kind):
    assert faults_at_bytecodes(ONE_TOKEN, kind, also=faults.__file__)[1]


def test_the_cache_itself_passes_where_the_planted_faults_do_not():
    assert faults_at_bytecodes(ONE_TOKEN, also=faults.__file__)[1] == []


def test_a_call_that_hangs_fails():
    lock = threading.Lock()
    with pytest.raises(TimeoutError, match="hangs"), within(0.1), lock, lock:
        pass


def storm(cache, seconds_apart, count):
    """What `count` real signals, each at a random moment of many calls, do wrong."""
    warm_up("float32")  # or most of them would come while the first call compiles
    hits = 0
    delays = itertools.cycle(seconds_apart * n / 37 for n in range(1, 60))
    while hits < count:
        hits += interrupted_calls(cache, next(delays))
        locked = [ring.lock.locked() for ring in cache.rings]
        if any(locked):
            return f"after {hits} signals a lock is held: {locked}"
        n = int(cache.seq_lens[0, 0])
        try:
            if shown(cache.read(0)) != [0, n - 3, n - 2, n - 1]:
                return f"after {hits} signals: {shown(cache.read(0))} of {n}"
            resident(cache, 0)
            if hits % 64 == 0:
                content(cache)
        except AssertionError as error:
            return f"after {hits} signals: {error}"
    return ""


def interrupted_calls(cache, seconds):
    """Update, be refused, truncate, read and step until a signal ends it."""
    try:
        with OneSignal(seconds):
            while True:
                some_calls(cache)
    except KeyboardInterrupt:
        return 1


def some_calls(cache):
    n = int(cache.seq_lens[0, 0])
    cache.update(0, *rows(n, n + 1))
    refused(cache, *rows(n, n + 2)[:1], rows(n, n + 1)[1])
    cache.update(0, *rows(n + 1, n + 3))
    cache.truncate(n + 1)
    if type(cache) is KVCache:
        with cache.reading(0):
            pass
        with cache.step():
            cache.update(0, *rows(n + 1, n + 2))
    if n > 5_000:
        cache.reset()
        for position in range(9):
            cache.update(0, *rows(position, position + 1))


def refused(cache, keys, values):
    try:
        cache.update(0, keys, values)
    except KVRingError:
        return
    raise AssertionError("K and V of different lengths were taken")


def one_layer(kind=KVCache):
    cache = kind(layers=1, kv_heads=1, head_dim=1, strategy=filled().config.layers[0].strategy)
    for position in range(9):
        cache.update(0, *rows(position, position + 1))
    return cache


@compiled_only
def test_a_storm_of_signals_finds_nothing():
    before = signal.getsignal(signal.SIGALRM)
    try:
        assert storm(one_layer(), 0.00006, either(1_000, 100_000)) == ""
    finally:  # a signal that comes as its handler is being set leaves that in place
        signal.signal(signal.SIGALRM, before)


@compiled_only
@pytest.mark.parametrize("kind", [faults.CopyThenPublish, faults.AcquireThenTry])
def test_a_planted_fault_is_found_by_signals(kind):
    assert storm(one_layer(kind), 0.00006, 100_000)
