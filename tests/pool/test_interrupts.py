"""Ctrl-C anywhere: rows are before or after, the budget adds up, nothing is held, no file stays."""

from __future__ import annotations

import gc
import os
from random import Random

import numba
import pytest

from kvring import BudgetError
from tests.interrupts import InterruptAt, OneSignal
from tests.pool.pools import (
    PAGE,
    committed_pages,
    feed,
    make_sequence,
    named,
    names,
    small_pool,
)

# A file whose opening was interrupted is closed with the frame that opened it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def interrupt_at(n):
    """An interrupt where a signal could arrive: what cleans up would wait for a lock left held."""
    interrupt = InterruptAt(n)
    interrupt.skips_exits = True
    return interrupt


def check_unlocked(pool, where):
    """Nobody holds the pool's lock, or that of a layer."""
    assert not pool._book.lock.locked(), f"{where}: the pool's lock is held"
    for sequence in pool._book.sequences.values():
        for ring in sequence.cache.rings if sequence.cache is not None else ():
            assert not ring.lock.locked(), f"{where}: a layer's lock is held"


def check_whole(pool, rows, where):
    """Every sequence is there as it was, the sum is right, and all can be leased."""
    gc.collect(1)  # the frames of the interrupt
    stats = pool.stats
    assert stats.leased == 0, where
    assert stats.bytes <= stats.budget_bytes, where
    for name, wanted in rows.items():
        assert named(pool, name) in wanted, f"{where}: {name}"
    with pool._book.lock:
        pool._book.settle_all()
        for sequence in pool._book.sequences.values():
            cache = sequence.cache
            if cache is not None:
                assert committed_pages(cache) * PAGE <= cache.nbytes_committed, where
                assert cache.nbytes_committed == cache.nbytes_with(cache.slots_admitted()), where


def points(count):
    """Where to interrupt what takes so many bytecodes: all of them take minutes, so some."""
    if os.environ.get("KVRING_THREADS") == "full":
        return range(1, count + 1)
    return sorted(Random(count).sample(range(1, count + 1), min(count, 24)))


def everywhere(tmp_path, work, wanted):
    """Interrupt `work` on a pool of its own at many of its bytecodes; how many it has.

    In the pool, a is on disk, b and c are in memory, with no room for more.
    """

    def once(n):
        pool = small_pool(pages=16, spill=tmp_path)
        rows = {name: [make_sequence(pool, name, 20)] for name in "abc"}
        rows |= {name: rows.get(name, [[[], []]]) + more for name, more in wanted.items()}
        with interrupt_at(n) as interrupt:
            work(pool)
        check_unlocked(pool, interrupt.where)
        check_whole(pool, rows, f"{n}: {interrupt.where}")
        pool.close()
        return interrupt

    most = 1 << 30
    count = most - once(most).left
    for n in points(count):
        once(n)
    return count


def lease_and_leave(name):
    def work(pool):
        with pool.lease(name):
            pass

    return work


@pytest.mark.parametrize("name", ["a", "b", "new"])
def test_interrupts_of_a_lease_lose_nothing(name, tmp_path):
    wanted = {"new": [[[], []]]} if name == "new" else {}
    assert everywhere(tmp_path, lease_and_leave(name), wanted) > 100
    assert os.listdir(tmp_path) == []


def test_interrupts_of_an_update_that_drives_another_out_lose_nothing(tmp_path):
    after = made("new", 20, [(20, 0), (20, 20)])

    def work(pool):
        with pool.lease("new") as cache:
            feed(cache, 20, history=1)

    assert everywhere(tmp_path, work, {"new": after}) > 500
    assert os.listdir(tmp_path) == []


def made(name, count, fed):
    """What a sequence may hold when so many tokens were fed to its layers."""
    found = []
    for tokens in fed:
        with small_pool(pages=100).lease(name) as cache:
            for layer, some in enumerate(tokens):
                if some:
                    feed(cache, some, history=1, layers=[layer])
            found.append(names(cache))
    return found


def test_interrupts_of_a_refused_update_lose_nothing(tmp_path):
    def work(pool):
        with pool.lease("b") as first, pool.lease("c") as second:
            try:
                feed(second, 60)
            except BudgetError:
                assert first.seq_len == second.seq_len == 20

    assert everywhere(tmp_path, work, {}) > 500


@pytest.mark.parametrize("name", ["a", "b"])
def test_interrupts_of_closing_a_sequence_forget_it_or_not(name, tmp_path):
    assert everywhere(tmp_path, lambda pool: pool.close(name), {name: [[[], []]]}) > 50


def at_many_bytecodes(work):
    """Run `work` with an interrupt at many of the bytecodes it has; how many these are."""
    most = 1 << 30
    interrupt = interrupt_at(most)
    work(interrupt)
    count = most - interrupt.left
    for n in points(count):
        work(interrupt_at(n))
    return count


def test_interrupts_of_closing_the_pool_leave_no_files(tmp_path):
    def work(interrupt):
        pool = small_pool(pages=16, spill=tmp_path)
        for name in "abc":
            make_sequence(pool, name, 20)
        with interrupt:
            pool.close()
        check_unlocked(pool, interrupt.where)
        pool.close()
        del pool
        gc.collect(1)
        assert os.listdir(tmp_path) == [], interrupt.where

    assert at_many_bytecodes(work) > 20


def test_interrupts_of_making_a_pool_leave_no_files(tmp_path):
    def work(interrupt):
        pool = None
        with interrupt:
            pool = small_pool(pages=16, spill=tmp_path)
        del pool
        gc.collect(1)
        assert os.listdir(tmp_path) == [], interrupt.where

    assert at_many_bytecodes(work) > 50


@pytest.mark.skipif(
    numba.config.DISABLE_JIT,
    reason="the run that measures coverage: its tracer has a lock of its own",
)
def test_real_signals_lose_nothing(tmp_path):
    random = Random(5)
    pool = small_pool(pages=16, spill=tmp_path)
    rows = {name: make_sequence(pool, name, 20) for name in "abcdefgh"}
    interrupted = 0
    for _ in range(150):
        try:
            with OneSignal(random.uniform(0.0001, 0.004)):
                for name in random.sample("abcdefgh", 4):
                    with pool.lease(name, timeout=0) as cache:
                        feed(cache, 12)
                        cache.truncate(20)
        except KeyboardInterrupt:
            interrupted += 1
        gc.collect(1)
        assert pool._book.lock.acquire(blocking=False), "the pool's lock is held"
        pool._book.lock.release()
        assert pool.stats.leased == 0
        assert pool.stats.bytes <= 16 * PAGE
        for name in random.sample("abcdefgh", 2):
            with pool.lease(name, timeout=0) as cache:
                cache.truncate(min(cache.seq_len, 20))
                cache.check()
                assert names(cache) == rows[name]
    assert interrupted > 15
    pool.close()
    assert os.listdir(tmp_path) == []
