"""A pool belongs to the process that made it; a forked child takes nothing and breaks nothing."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kvring import LeaseError
from tests.pool.pools import feed, make_sequence, named, names, small_pool
from tests.support import make_rows

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no os.fork")


def in_child(work):
    """Run `work` in a forked child; its exit code, 0 if it came back."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_leases_nothing_and_the_parent_goes_on(tmp_path):
    pool = small_pool(pages=8, spill=tmp_path)
    kept = make_sequence(pool, "a", 20)
    make_sequence(pool, "b", 20)

    def child():
        assert pool.closed
        with pytest.raises(LeaseError, match="belongs to the process that was forked"):
            pool.lease("a").__enter__()
        assert not pool.close("a")
        assert not pool.close()
        assert "2 sequences" in repr(pool)
        pool._keeper.spill.close()  # as at its exit

    assert in_child(child) == 0
    assert named(pool, "a") == kept


def test_a_lease_of_the_forking_thread_is_read_in_the_child_and_not_grown(tmp_path):
    pool = small_pool(pages=8, spill=tmp_path)
    with pool.lease("a") as cache:
        feed(cache, 20)
        rows = names(cache)

        def child():
            assert names(cache) == rows
            cache.truncate(18)
            feed(cache, 14)  # in the pages it has
            with pytest.raises(LeaseError, match="belongs to the process"):
                cache.update(0, *make_rows(cache.config, 0, 0, 1))
            cache.check()

        assert in_child(child) == 0
        assert names(cache) == rows
    assert pool.stats.leased == 0


def test_forks_among_threads_that_grow_and_lease_leave_no_lock_held(tmp_path):
    pool = small_pool(pages=60, spill=tmp_path)
    stop, problems = threading.Event(), []

    def work(number):
        try:
            while not stop.is_set():
                with pool.lease(f"{number}") as cache:
                    if cache.seq_len > 20:
                        cache.truncate(3)
                    feed(cache, 5)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: (repr(pool), pool.close(), pool.stats)) == 0
            time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems
    pool.close()
    assert os.listdir(tmp_path) == []
