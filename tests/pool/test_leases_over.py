"""Caches whose lease is over, or ends in the middle of a call: nothing of theirs changes."""

from __future__ import annotations

import threading

import pytest

from kvring import LRU, Append, EvictionPolicy, LeaseError, Replace
from tests.pool.pools import (
    PAGE,
    committed_pages,
    feed,
    in_thread,
    make_sequence,
    named,
    small_pool,
)
from tests.support import make_rows


@pytest.mark.parametrize(
    ("strategy", "call"),
    [
        (Replace(64), lambda cache: cache.update(0, *make_rows(cache.config, 0, 0, 0))),
        (Append(64, eviction=LRU()), lambda cache: cache.pin([1])),
        (Append(64, eviction=LRU()), lambda cache: cache.unpin([1])),
        (Append(64, eviction=LRU()), lambda cache: cache.touch(0, [1])),
    ],
)
def test_what_writes_no_row_is_refused_too_when_the_lease_is_over(strategy, call):
    pool = small_pool(pages=20, strategy=strategy)
    rows = make_sequence(pool, "a", 5)
    with pool.lease("a") as cache:
        pass
    with pytest.raises(LeaseError, match="lease its sequence again"):
        call(cache)
    assert named(pool, "a") == rows


@pytest.mark.parametrize("closed", [True, False])
def test_a_lease_that_ends_while_room_is_made_for_it_grows_no_more(closed):
    """An update in another thread, whose sequence is given back while an idle one is dropped."""
    giving_way, left = threading.Event(), threading.Event()

    def on_event(event):
        if (event.kind, event.name) == ("dropped", "idle"):
            giving_way.set()
            assert left.wait(10)

    pool = small_pool(pages=16, on_event=on_event)
    make_sequence(pool, "idle", 32)
    found = []
    with pool.lease("a") as cache:
        feed(cache, 10, layers=[0])

        def grow():
            found.append(in_thread(lambda: feed(cache, 60, layers=[0])))

        growing = threading.Thread(target=grow)
        growing.start()
        assert giving_way.wait(10)
    if closed:
        pool.close("a")
    left.set()
    growing.join()
    assert isinstance(found[0], LeaseError)
    assert cache.seq_lens[0, 0] in ((0,) if closed else (10,))
    make_sequence(pool, "another", 60)
    assert committed_pages(cache) * PAGE + pool.stats.bytes <= 16 * PAGE


def test_what_was_admitted_for_an_update_that_failed_goes_to_whoever_needs_it():
    class FailsLater(EvictionPolicy):
        asked = 0

        def victims(self, candidates, count):
            FailsLater.asked += 1
            if FailsLater.asked > 1:
                raise RuntimeError("no")
            return candidates[:count]

    pool = small_pool(pages=8, layers=1, strategy=Append(64, eviction=FailsLater()))
    with pool.lease("a") as a, pool.lease("b") as b:
        feed(a, 16)
        with pytest.raises(RuntimeError, match="no"):
            feed(a, 49)
        assert a.seq_len == 16
        feed(b, 16)
