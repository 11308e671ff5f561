"""The budget is hard: what fits in whole pages is admitted, nothing else is ever committed."""

from __future__ import annotations

import threading
from random import Random

import numpy as np
import pytest

from kvring import LRU, Append, BudgetError, Circular, KVCache, Replace
from kvring.kernels import ADMITTED
from tests.often import often
from tests.pool.pools import (
    PAGE,
    ROWS_TO_A_PAGE,
    SMALL,
    committed_pages,
    feed,
    make_sequence,
    named,
    names,
    small_pool,
)
from tests.support import make_rows


def test_a_cache_that_is_in_no_pool_may_write_all_its_slots():
    cache = KVCache(**SMALL)
    assert [ring._block[ADMITTED] for ring in cache.rings] == [4096, 4096]


def test_the_last_whole_page_is_used_and_not_one_byte_more():
    pool = small_pool(pages=8)  # two pages for each plane
    with pool.lease("a") as cache:
        for _ in range(2 * ROWS_TO_A_PAGE):
            feed(cache, 1)
            assert pool.stats.bytes <= 8 * PAGE
        assert cache.seq_len == 2 * ROWS_TO_A_PAGE
        before = names(cache)
        assert committed_pages(cache) == 8
        view = cache.read(0)
        with pytest.raises(BudgetError):
            feed(cache, 1)
        view.mask()  # a refused update makes nothing stale
        cache.check()
        assert names(cache) == before
        assert committed_pages(cache) == 8
    assert pool.stats.high_water_bytes == 8 * PAGE


def test_a_refusal_says_who_has_what():
    pool = small_pool(pages=8)
    with pool.lease("a") as cache:
        feed(cache, 20)
        with pytest.raises(BudgetError) as error:
            feed(cache, 40)
    assert str(error.value) == (
        "40 rows of layer 0 take 16,384 more bytes, 0 of 32,768 are free; 32,768 are on lease and"
        " 0 idle; close or truncate a sequence, or use a larger budget"
    )


def test_rows_beyond_the_whole_budget_are_refused_before_anybody_gives_way():
    asked = []
    pool = small_pool(pages=16, on_pressure=asked.append)
    kept = make_sequence(pool, "idle", 16)
    with pool.lease("a") as cache, pytest.raises(BudgetError, match="more than the whole budget"):
        cache.update(0, *make_rows(cache.config, 0, 0, 129))
    assert asked == []
    assert named(pool, "idle") == kept


def test_reserved_capacity_does_not_count():
    pool = small_pool(pages=4, strategy=Append(1_000_000))
    with pool.lease("a") as cache:
        feed(cache, 16)
        assert cache.nbytes > 100 * 4 * PAGE
    assert pool.stats.bytes == 4 * PAGE


def test_nobody_gives_way_in_vain():
    pool = small_pool(pages=16)
    kept = make_sequence(pool, "idle", 16)
    with pool.lease("big") as cache:
        cache.update(0, *make_rows(cache.config, 0, 0, 112))
        with pytest.raises(BudgetError):
            cache.update(1, *make_rows(cache.config, 1, 0, 128))
    assert pool.stats.evictions == 1  # for layer 0, which fits then; not for layer 1
    pool = small_pool(pages=16)
    kept = make_sequence(pool, "idle", 16)
    with pool.lease("big") as cache:
        feed(cache, 40)
        with pytest.raises(BudgetError):
            feed(cache, 60)
    assert pool.stats.evictions == 0
    assert named(pool, "idle") == kept


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize(
    ("strategy", "pages"),
    [
        (Append(300), 110),
        (Circular(window=100, sink_tokens=3, rollback_tokens=20), 110),
        (Replace(300), 60),
    ],
    ids=["append", "circular", "replace"],
)
def test_what_is_committed_is_what_was_admitted_whatever_is_done(strategy, pages, layout):
    random = Random(f"{strategy} {layout}")
    shape = {"layers": 3, "kv_heads": [1, 2, 3], "head_dim": [24, 40, 8], "value_dim": [8, 24, 70]}
    pool = small_pool(pages, **shape, strategy=strategy, layout=layout, batch=2)
    twins = {}
    for turn in range(often(150, at_least=75)):
        name = random.choice("abc")
        with pool.lease(name) as cache:
            twin = twins.get(name)
            if twin is None or cache.seq_len == 0:  # it may have been dropped meanwhile
                twin = twins[name] = KVCache(**shape, strategy=strategy, layout=layout, batch=2)
            assert names(cache) == names(twin), f"turn {turn}"
            count = random.choice([1, 1, 2, 30, 70])
            verb = random.choice(["feed", "feed", "feed", "truncate", "reset"])
            if verb == "feed" and (cache.room is None or cache.room >= count):
                try:
                    feed(cache, count, history=turn)
                except BudgetError:
                    cache.reset()
                    twin.reset()
                else:
                    feed(twin, count, history=turn)
            elif verb == "truncate" and cache.seq_len > 5:
                cache.truncate(cache.seq_len - 5)
                twin.truncate(twin.seq_len - 5)
            elif verb == "reset" and random.random() < 0.2:
                cache.reset()
                twin.reset()
            cache.check()
            assert names(cache) == names(twin), f"turn {turn}: {verb}"
        check_committed(pool)
    assert pool.stats.evictions > 2, "a test that never met the limit"


def check_committed(pool):
    """No cache has pages that were not admitted, and all together are within the budget."""
    total = 0
    for sequence in pool._book.sequences.values():
        cache = sequence.cache
        if cache is None:
            continue
        assert committed_pages(cache) * PAGE <= cache.nbytes_committed
        assert cache.nbytes_committed == cache.nbytes_with(cache.slots_admitted())
        total += cache.nbytes_committed
    assert total == pool.stats.bytes <= pool.stats.high_water_bytes <= pool.stats.budget_bytes


def test_pages_admitted_ahead_are_there_for_others_before_anybody_is_refused():
    pool = small_pool(pages=400)
    with pool.lease("a") as first, pool.lease("b") as second:
        feed(first, 1)
        assert first.nbytes_committed > 4 * PAGE  # ahead
        for _ in range(99):
            feed(second, ROWS_TO_A_PAGE)
        assert committed_pages(first) == 4
        assert committed_pages(second) == 396
        with pytest.raises(BudgetError):
            feed(second, 1)
        feed(first, 15)  # these are in its pages
        assert committed_pages(first) + committed_pages(second) == 400


def spoil_a_step(cache):
    with cache.step(tokens=60):
        feed(cache, 60)
        raise ZeroDivisionError


@pytest.mark.parametrize("verb", ["truncate", "reset", "step"])
def test_pages_of_dropped_rows_go_to_whoever_needs_them(verb):
    pool = small_pool(pages=40)
    with pool.lease("a") as first, pool.lease("b") as second:
        feed(first, 8 * ROWS_TO_A_PAGE)
        if verb == "truncate":
            first.truncate(ROWS_TO_A_PAGE)
        elif verb == "reset":
            first.reset()
        else:
            first.truncate(2)
            with pytest.raises(ZeroDivisionError):
                spoil_a_step(first)
        kept = names(first)
        feed(second, 9 * ROWS_TO_A_PAGE)
        assert committed_pages(first) <= 4
        assert committed_pages(second) == 36
        assert names(first) == kept


def test_a_smaller_content_in_replace_mode_leaves_its_pages_to_others():
    pool = small_pool(pages=16, strategy=Replace(200))
    with pool.lease("a") as first, pool.lease("b") as second:
        feed(first, 3 * ROWS_TO_A_PAGE)
        for layer in range(2):
            first.update(layer, *make_rows(first.config, layer, 0, 1))
        feed(second, 3 * ROWS_TO_A_PAGE)
        assert committed_pages(first) == 4
        assert first.seq_len == 1


def test_the_seq_len_form_is_admitted_like_any_other():
    pool = small_pool(pages=8)
    with pool.lease("a") as cache:
        keys, values = make_rows(cache.config, 0, 0, 32)
        view = cache.update(0, keys[:, :20], values[:, :20], seq_len=20)
        assert view.row_count == 20
        with pytest.raises(BudgetError):
            cache.update(0, *make_rows(cache.config, 0, 0, 120), seq_len=120)
        assert cache.update(0, keys, values, seq_len=32).row_count == 32
        cache.check()


def test_a_copy_is_a_cache_of_its_own_outside_the_budget():
    pool = small_pool(pages=8)
    with pool.lease("a") as cache:
        feed(cache, 20)
        copy = cache.copy()
        assert type(copy) is KVCache
        feed(copy, 2000)
        assert copy.seq_len == 2020
        assert names(cache) == [layer[:20] for layer in names(copy)]
    assert pool.stats.bytes == 8 * PAGE


def test_an_eviction_policy_inside_a_leased_cache_stays_within_its_pages():
    pool = small_pool(pages=8, strategy=Append(32, eviction=LRU(), sink_tokens=2), batch=1)
    with pool.lease("a") as cache:
        for _ in range(100):
            feed(cache, 1)
            cache.check()
        assert committed_pages(cache) == 8
        assert cache.seq_len == 100


def test_sixteen_threads_that_grow_at_once_never_commit_too_much():
    pool = small_pool(pages=600, policy="fifo")
    problems, stop = [], threading.Event()

    def work(number):
        random = Random(number)
        row = np.full((1, 5, 1, 64), number, np.float32)
        try:
            while not stop.is_set():
                with pool.lease(f"{number} {random.randrange(4)}") as cache:
                    try:
                        for _ in range(random.randrange(60)):
                            for layer in range(2):
                                cache.update(layer, row, row)
                    except BudgetError:
                        cache.truncate(cache.seq_len // 2)
                    for layer in range(2):
                        keys, values = cache.read(layer)
                        assert (keys == number).all()
                        assert (values == number).all()
        except BaseException as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    samples, enough = 0, often(100, at_least=50)
    while samples < enough and not problems:
        samples += 1
        with pool._book.lock:
            assert pool._book.committed() <= 600 * PAGE
            caches = [s.cache for s in pool._book.sequences.values() if s.cache is not None]
            assert sum(map(committed_pages, caches)) <= 600
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert pool.stats.evictions > 0
    assert 300 * PAGE < pool.stats.high_water_bytes <= 600 * PAGE
