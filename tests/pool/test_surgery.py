"""Ragged rows, surgery and resize of leased caches: right, and always within the budget."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from kvring import LRU, Append, BudgetError, Circular, KVCache
from tests.pool.pools import PAGE, committed_pages, feed, named, names, small_pool
from tests.pool.test_budget import check_committed
from tests.support import make_rows

CONFIG = {"layers": 2, "kv_heads": 2, "head_dim": 40, "value_dim": 24, "batch": 2}
MODES = {
    "append": Append(300),
    "wrapped": Circular(window=60, sink_tokens=3, rollback_tokens=40),
    "evicting": Append(90, eviction=LRU()),
}


def content(cache):
    """All there is to a cache, batch row by batch row."""
    found = []
    for layer in range(cache.layers):
        view = cache.read(layer)
        for batch_row in range(cache.batch):
            of = view.batch_row(batch_row)
            found.append((of.keys.tobytes(), of.values.tobytes(), of.positions.tolist()))
    return found


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("mode", MODES)
def test_all_that_can_be_done_to_a_leased_cache_stays_within_its_pages(mode, layout, tmp_path):
    random = Random(f"{mode} {layout}")
    config = {**CONFIG, "strategy": MODES[mode], "layout": layout}
    pool = small_pool(70 if layout == "BSHD" else 130, spill=tmp_path, **config)
    twin, done = KVCache(**config), set()
    for turn in range(60):
        with pool.lease("a") as cache:
            assert content(cache) == content(twin), f"turn {turn}"
            verb = random.choice(["ragged", "feed", "reorder", "select", "repeat", "resize", "cut"])
            call = CALLS[verb](random, cache, turn)
            try:
                call(cache)
            except BudgetError:
                done.add("refused")
            else:
                done.add(verb)
                call(twin)
            cache.check()
            assert content(cache) == content(twin), f"turn {turn}: {verb}"
            assert committed_pages(cache) * PAGE <= cache.nbytes_committed
        check_committed(pool)
        with pool.lease("other") as other:  # drives it out now and then
            if other.seq_lens.max() < 60:
                feed(other, 1 + random.randrange(60))
            else:
                other.reset()
    assert {"ragged", "feed", "reorder", "select", "repeat", "resize"} <= done
    assert pool.stats.restores > 1


def ragged(random, cache, turn):
    counts = [random.randrange(9) for _ in range(cache.batch)]
    rows = [make_rows(cache.config, n, turn * 10, 8, history=turn) for n in range(cache.layers)]

    def call(each):
        each_room = each.room
        if each_room is not None and each_room < 8:
            each.reset()
        for layer, (keys, values) in enumerate(rows):
            each.update(layer, keys, values, token_counts=counts)

    return call if cache.room is None or cache.room >= 8 else lambda each: each.reset()


def fed(random, cache, turn):
    rows = [make_rows(cache.config, n, turn * 10, 20, history=turn) for n in range(cache.layers)]
    if cache.room is not None and cache.room < 20:
        return lambda each: each.reset()
    return lambda each: [each.update(n, *some) for n, some in enumerate(rows)]


def reordered(random, cache, turn):
    order = [random.randrange(cache.batch) for _ in range(cache.batch)]
    return lambda each: each.reorder(order)


def selected(random, cache, turn):
    some = random.sample(range(cache.batch), 1 + random.randrange(cache.batch))
    return lambda each: each.select(some)


def repeated(random, cache, turn):
    return lambda each: each.repeat(2 if each.batch < 4 else 1)


def resized(random, cache, turn):
    if isinstance(cache.config.layers[0].strategy, Circular):
        return lambda each: each.resize(rollback_tokens=40 + turn % 7)
    return lambda each: each.resize(capacity=int(max(each.lengths.max(), 90)) + turn % 50)


def cut(random, cache, turn):
    return lambda each: each.truncate(0) if turn % 3 else None


CALLS = {
    "ragged": ragged,
    "feed": fed,
    "reorder": reordered,
    "select": selected,
    "repeat": repeated,
    "resize": resized,
    "cut": cut,
}


@pytest.mark.parametrize("verb", ["repeat", "resize", "add_batch_rows"])
def test_rows_that_move_need_room_for_both_or_nothing_moves(verb):
    pool = small_pool(pages=24)
    with pool.lease("a") as cache:
        feed(cache, 64)  # 16 pages
        before = names(cache)
        with pytest.raises(BudgetError, match="the rows in their new places take"):
            move(cache, verb)
        assert names(cache) == before
        assert (committed_pages(cache), pool.stats.bytes) == (16, 16 * PAGE)
        cache.truncate(32)
        if verb != "resize":
            cache.truncate(16)
        move(cache, verb)
        assert pool.stats.bytes <= 24 * PAGE
        assert committed_pages(cache) * PAGE <= cache.nbytes_committed <= 16 * PAGE
        cache.check()
        assert (
            content(cache)[0][0]
            == b"".join(name[:256] for name in before[0])[: len(content(cache)[0][0])]
        )


def move(cache, verb):
    if verb == "repeat":
        cache.repeat(2)
    elif verb == "add_batch_rows":
        cache.add_batch_rows(cache)
    else:
        cache.resize(capacity=200)


def test_a_rearranged_cache_comes_back_from_disk_as_it_left(tmp_path):
    pool = small_pool(pages=80, spill=tmp_path)
    with pool.lease("a") as cache:
        feed(cache, 30)
        cache.repeat(3)
        cache.resize(capacity=100)
        before = content(cache)
    with pool.lease("b") as cache:
        feed(cache, 300)
    assert pool.stats.spilled == 1
    pool.close("b")
    with pool.lease("a") as cache:
        assert (cache.batch, cache.rings[0].capacity) == (3, 100)
        assert content(cache) == before
    assert np.array(named(pool, "new")).size == 0
