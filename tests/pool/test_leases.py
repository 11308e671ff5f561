"""Leases: one thread at a time, never taken away, over when the block is left, however it is."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from kvring import (
    BudgetError,
    DTypeError,
    LeaseError,
)
from tests.pool.pools import (
    PAGE,
    feed,
    in_thread,
    make_sequence,
    named,
    names,
    small_pool,
)
from tests.support import make_rows


def test_a_sequence_is_made_and_found_again_with_all_its_rows():
    pool = small_pool(pages=100)
    rows = make_sequence(pool, "chat-42", 50)
    assert named(pool, "chat-42") == rows
    assert named(pool, "another") == [[], []]
    stats = pool.stats
    assert (stats.hits, stats.misses, stats.sequences, stats.leased) == (1, 2, 2, 0)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../../etc/passwd", "/", "a\0b", "x" * 10_000, "\ud800", "\n\x1b[2J", "ä" * 9],
)
def test_any_string_is_a_name_and_never_a_path(name, tmp_path):
    pool = small_pool(pages=8, spill=tmp_path / "inside")
    rows = make_sequence(pool, name, 20)
    make_sequence(pool, "other", 20)  # drives it out
    assert pool.stats.spilled == 1
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert named(pool, name) == rows
    assert pool.close(name)
    assert not pool.close(name)
    str(pool), repr(pool)


@pytest.mark.parametrize("name", [None, 42, b"chat", ("a",)])
def test_what_is_no_string_is_no_name(name):
    with pytest.raises(DTypeError, match="name: expected a str"):
        small_pool(pages=8).lease(name)


@pytest.mark.parametrize("timeout", ["soon", "3", True, -1, float("nan"), []])
def test_what_is_no_time_is_no_timeout(timeout):
    with pytest.raises(DTypeError, match="timeout: expected seconds"):
        small_pool(pages=8).lease("a", timeout=timeout)


def test_another_thread_waits_and_is_refused_when_its_time_is_up():
    pool = small_pool(pages=8)
    with pool.lease("a"):
        began = time.monotonic()
        error = in_thread(lambda: pool.lease("a", timeout=0.2).__enter__())
        assert 0.2 <= time.monotonic() - began < 5
        assert isinstance(error, LeaseError)
        assert isinstance(error, TimeoutError)
        assert "'a' is on lease in thread 'MainThread' for" in str(error)
        assert "waited 0.2 s; use a longer timeout, or another name" in str(error)
        at_once = in_thread(lambda: pool.lease("a", timeout=0).__enter__())
        assert isinstance(at_once, LeaseError)


def test_who_waits_has_it_as_soon_as_it_is_given_back():
    pool = small_pool(pages=8)
    waited = []

    def wait():
        with pool.lease("a") as cache:
            waited.append(cache.seq_len)

    thread = threading.Thread(target=wait)
    with pool.lease("a") as cache:
        thread.start()
        feed(cache, 3)
        time.sleep(0.1)
        assert waited == []
        feed(cache, 4)
    thread.join(5)
    assert waited == [7]


def test_a_thread_does_not_wait_for_itself():
    pool = small_pool(pages=8)
    with pool.lease("a"):
        with pytest.raises(LeaseError, match="this thread has 'a' on lease already"):
            pool.lease("a").__enter__()
        with pytest.raises(LeaseError, match="leave that lease before"):
            pool.close("a")
        with pool.lease("b") as other:
            feed(other, 1)


def test_a_leased_cache_never_gives_way():
    pool = small_pool(pages=8)
    with pool.lease("a") as first:
        feed(first, 32)
        rows = names(first)
        with pool.lease("b") as second, pytest.raises(BudgetError):
            feed(second, 1)
        assert names(first) == rows


def test_an_exception_ends_the_lease_like_anything_else():
    pool = small_pool(pages=8)
    with pytest.raises(TypeError), pool.lease("a") as cache:
        feed(cache, 3, layers=[0, 1, None])
    assert pool.stats.leased == 0
    assert in_thread(lambda: pool.lease("a", timeout=0).__enter__().seq_len) == 3


def test_a_lease_is_entered_once():
    lease = small_pool(pages=8).lease("a")
    with lease:
        pass
    with pytest.raises(LeaseError, match="a lease is entered once"), lease:
        pass


def test_a_lease_that_was_dropped_holds_nothing():
    pool = small_pool(pages=8)
    lease = pool.lease("a")
    lease.__enter__()
    assert pool.stats.leased == 1
    del lease
    gc.collect()
    assert pool.stats.leased == 0
    with pool.lease("a", timeout=0):
        pass


@pytest.mark.parametrize("verb", ["update", "seq_len", "truncate", "reset", "step"])
def test_a_cache_whose_lease_is_over_is_changed_by_nobody(verb):
    pool = small_pool(pages=8)
    with pool.lease("a") as cache:
        feed(cache, 20)
        rows = names(cache)
    new, whole = make_rows(cache.config, 0, 20, 1), make_rows(cache.config, 0, 0, 21)
    change = {
        "update": lambda: cache.update(0, *new),
        "seq_len": lambda: cache.update(0, *whole, seq_len=21),
        "truncate": lambda: cache.truncate(3),
        "reset": cache.reset,
        "step": lambda: stepped(cache, new),
    }[verb]
    with pytest.raises(LeaseError, match="the lease of this cache is over"):
        change()
    assert names(cache) == rows
    make_sequence(pool, "b", 20)  # takes its place
    with pytest.raises(LeaseError, match="this cache is no longer in its pool"):
        change()
    assert pool.stats.bytes == 8 * PAGE
    pool.close()
    del pool
    gc.collect()
    with pytest.raises(LeaseError, match=r"no longer in its pool|the pool of this cache is gone"):
        change()


def stepped(cache, rows):
    with cache.step():
        cache.update(0, *rows)


def test_a_view_of_a_sequence_that_gave_way_is_stale():
    from kvring import StaleViewError

    pool = small_pool(pages=8)
    with pool.lease("a") as cache:
        feed(cache, 20)
        view = cache.read(0)
    view.mask()
    make_sequence(pool, "b", 20)
    with pytest.raises(StaleViewError):
        view.keys  # noqa: B018


def test_a_closed_sequence_begins_anew():
    pool = small_pool(pages=8)
    make_sequence(pool, "a", 20)
    assert pool.close("a")
    assert (pool.stats.bytes, pool.stats.sequences) == (0, 0)
    assert named(pool, "a") == [[], []]
    assert not pool.close("never seen")
    assert pool.stats.sequences == 1


def test_closing_waits_for_a_lease_or_gives_up():
    pool = small_pool(pages=8)
    with pool.lease("a") as cache:
        feed(cache, 1)
        error = in_thread(lambda: pool.close("a", timeout=0.05))
        assert isinstance(error, LeaseError)
        thread = threading.Thread(target=pool.close, args=("a",))
        thread.start()
        time.sleep(0.1)
        feed(cache, 1)
    thread.join(5)
    assert pool.stats.sequences == 0


def test_a_closed_pool_leases_nothing_and_has_nothing():
    with small_pool(pages=40) as pool:
        make_sequence(pool, "idle", 20)
        lease = pool.lease("leased")
        cache = lease.__enter__()
        feed(cache, 20)
        assert pool.close()
        assert not pool.close()
        assert pool.closed
        with pytest.raises(LeaseError, match="this pool is closed"):
            pool.lease("idle").__enter__()
        assert not pool.close("idle")
        assert pool.stats.sequences == 1
        feed(cache, 20)  # what is on lease stays until it is given back
        cache.check()
        assert cache.seq_len == 40
        lease.__exit__(None, None, None)
        assert (pool.stats.bytes, pool.stats.sequences) == (0, 0)
        with pytest.raises(LeaseError):
            feed(cache, 1)
    assert "(closed)" in repr(pool)


def test_a_steady_step_takes_no_lock_of_the_pool():
    pool = small_pool(pages=1000)
    with pool.lease("a") as cache:
        feed(cache, 1)
        done = []
        with pool._book.lock:  # whoever wants it now waits for ever
            thread = threading.Thread(target=lambda: done.append(feed(cache, 30)))
            thread.start()
            thread.join(5)
            assert done == [None]
        assert cache.seq_len == 31
