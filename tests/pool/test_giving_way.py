"""Who gives way when rows do not fit, and what is asked of the caller before a refusal."""

from __future__ import annotations

import pytest

from kvring import BudgetError, CachePool, ConfigError, PolicyError
from tests.pool.pools import PAGE, SMALL, feed, make_sequence, named, names, small_pool


def there(pool):
    """The sequences in memory."""
    return {info.name for info in pool.sequences() if info.where == "idle"}


def filled(policy, **options):
    """A pool with room for three sequences: a, b and c were made in turn, then a was used again."""
    pool = small_pool(pages=24, policy=policy, **options)
    for name in ("a", "b", "c"):
        make_sequence(pool, name, 20)
    named(pool, "a")
    return pool


def test_lru_gives_up_the_sequence_whose_last_lease_is_longest_ago():
    pool = filled("lru")
    make_sequence(pool, "d", 20)
    assert there(pool) == {"a", "c", "d"}
    make_sequence(pool, "e", 20)
    assert there(pool) == {"a", "d", "e"}


def test_fifo_gives_up_the_sequence_that_was_made_first():
    pool = filled("fifo")
    make_sequence(pool, "d", 20)
    assert there(pool) == {"b", "c", "d"}


def test_fifo_remembers_when_a_sequence_was_made_while_it_is_on_disk(tmp_path):
    pool = filled("fifo", spill=tmp_path)
    make_sequence(pool, "d", 20)  # drives a out
    named(pool, "a")  # drives b out
    assert there(pool) == {"a", "c", "d"}
    make_sequence(pool, "e", 20)
    assert there(pool) == {"c", "d", "e"}


def test_a_function_chooses_by_what_it_is_told():
    asked = []

    def largest(idle):
        asked.append(idle)
        return max(idle, key=lambda info: info.nbytes).name

    pool = small_pool(pages=30, policy=largest)
    make_sequence(pool, "small", 10)
    make_sequence(pool, "large", 60)
    with pool.lease("leased") as cache:
        feed(cache, 50)
        assert there(pool) == {"small"}
    assert [info.name for info in asked[0]] == ["small", "large"]
    large = asked[0][1]
    assert (large.where, large.nbytes, large.seq_len) == ("idle", 16 * PAGE, 60)
    assert large.created < large.leased


@pytest.mark.parametrize("answer", ["leased", "nobody", None, 3])
def test_a_wrong_answer_of_a_function_changes_nothing(answer):
    pool = small_pool(pages=12, policy=lambda idle: answer)
    kept = make_sequence(pool, "idle", 20)
    with pool.lease("leased") as cache:
        feed(cache, 10)
        rows = names(cache)
        with pytest.raises(PolicyError, match="one of the 1 idle sequences it was given, got"):
            feed(cache, 10)
        assert names(cache) == rows
    assert named(pool, "idle") == kept


def test_what_a_function_raises_comes_out_of_the_update():
    pool = small_pool(pages=12, policy=lambda idle: 1 // 0)
    make_sequence(pool, "idle", 20)
    with pool.lease("leased") as cache:
        feed(cache, 10)
        with pytest.raises(ZeroDivisionError):
            feed(cache, 10)
        assert cache.seq_len == 10
        assert pool.close("idle")
        feed(cache, 10)


def test_the_caller_is_asked_when_idle_sequences_are_not_enough():
    asked = []
    pool = small_pool(pages=16, on_pressure=asked.append)
    kept = make_sequence(pool, "idle", 16)
    with pool.lease("a") as cache:
        feed(cache, 32)
        with pytest.raises(BudgetError):
            feed(cache, 80)
        # Layer 0 takes 14 pages then, 10 more than before; 4 are free, 4 idle.
        assert asked == [2 * PAGE]
        assert cache.seq_len == 32
    assert named(pool, "idle") == kept


def test_what_the_caller_frees_is_used_at_once():
    pool = None

    def shorten(missing):
        assert 0 < missing <= 16 * PAGE
        leased.truncate(5)

    pool = small_pool(pages=16, on_pressure=shorten)
    with pool.lease("leased") as leased, pool.lease("a") as cache:
        feed(leased, 50)
        feed(cache, 40)
        assert (leased.seq_len, cache.seq_len) == (5, 40)


def test_the_caller_may_shorten_the_very_cache_that_grows():
    pool = small_pool(pages=8, on_pressure=lambda missing: cache.truncate(3))
    with pool.lease("a") as cache:
        feed(cache, 32)
        rows = names(cache)
        feed(cache, 1)
        assert cache.seq_lens.tolist() == [[4], [4]]
        assert [layer[:3] for layer in names(cache)] == [layer[:3] for layer in rows]
        cache.check()


def test_a_caller_that_needs_room_itself_is_refused_and_not_asked_again():
    asked = []

    def greedy(missing):
        asked.append(missing)
        with pool.lease("greedy") as cache:
            feed(cache, 200)

    pool = small_pool(pages=8, on_pressure=greedy)
    with pool.lease("a") as cache:
        feed(cache, 32)
        with pytest.raises(BudgetError, match="200 rows of layer 0"):
            feed(cache, 1)
        assert len(asked) == 1
        assert cache.seq_len == 32
    assert pool.stats.leased == 0


def test_events_are_told_in_their_order_while_nothing_is_held(tmp_path):
    told = []

    def hear(event):
        told.append((event.kind, event.name, event.nbytes // PAGE))
        assert repr(pool)  # takes the pool's lock
        if event.kind == "spilled":
            named(pool, "small")

    pool = small_pool(pages=12, spill=tmp_path, on_event=hear)
    make_sequence(pool, "small", 5)
    make_sequence(pool, "a", 20)
    make_sequence(pool, "b", 20)
    named(pool, "a")
    pool.close("a")
    pool.close("b")
    assert told[:3] == [("created", "small", 0), ("created", "a", 0), ("created", "b", 0)]
    assert ("spilled", "a", 8) in told
    assert ("restored", "a", 8) in told
    assert told[-2:] == [("closed", "a", 8), ("closed", "b", 0)]


def test_what_hearing_an_event_raises_comes_out_with_everything_in_order():
    def hear(event):
        if event.kind == "dropped":
            raise ZeroDivisionError

    pool = small_pool(pages=8, on_event=hear)
    make_sequence(pool, "a", 20)
    with pool.lease("b") as cache:
        with pytest.raises(ZeroDivisionError):
            feed(cache, 20)
        assert cache.seq_len == 0
        feed(cache, 20)
    assert there(pool) == {"b"}


def test_statistics_count_what_has_happened(tmp_path):
    pool = small_pool(pages=8, spill=tmp_path)
    make_sequence(pool, "a", 20)
    make_sequence(pool, "b", 20)
    named(pool, "b")
    named(pool, "a")
    with pool.lease("b"):
        stats = pool.stats
    assert (stats.misses, stats.hits, stats.restores) == (2, 1, 2)
    assert (stats.evictions, stats.spills) == (3, 3)
    assert (stats.sequences, stats.leased, stats.spilled) == (2, 1, 1)
    assert (stats.bytes, stats.high_water_bytes, stats.budget_bytes) == (8 * PAGE,) * 3


def test_a_pool_prints_as_a_table_for_people(tmp_path, monkeypatch):
    for module in ("book", "lease", "sequences"):  # or a slow machine shows 0.1 s
        monkeypatch.setattr(f"kvring.pool.{module}.monotonic", lambda: 7.0)
    pool = small_pool(pages=12, spill=tmp_path)
    make_sequence(pool, "first", 20)
    make_sequence(pool, "x" * 10_000, 20)
    with pool.lease("now"):
        lines = str(pool).splitlines()
    assert lines[0] == (
        "<CachePool: 32.0 KiB of 48.0 KiB committed, at most 48.0 KiB; 3 sequences, 1 on lease,"
        " 1 on disk>"
    )
    assert [line.split() for line in lines[1:]] == [
        ["sequence", "where", "tokens", "memory", "for", "held", "by"],
        ["'now'", "leased", "0", "0", "bytes", "0.0", "s", "MainThread"],
        [f"'{'x' * 28}'...", "idle", "20", "32.0", "KiB", "0.0", "s"],
        ["'first'", "spilled", "20", "(32.0", "KiB)", "0.0", "s"],
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget_bytes": 0}, "budget_bytes: expected an integer >= 1, got 0"),
        ({"budget_bytes": 1.5e9}, "budget_bytes: expected an integer >= 1, got 1500000000.0"),
        ({"policy": "random"}, "policy: expected 'lru', 'fifo' or a callable, got 'random'"),
        ({"on_pressure": 3}, "on_pressure: expected a callable, got 3"),
        ({"on_event": "print"}, "on_event: expected a callable, got 'print'"),
        ({"spill": 3}, "spill: expected the path of a folder, got 3"),
        ({"layers": 0}, "layers: expected an integer >= 1, got 0"),
    ],
)
def test_what_makes_no_pool_is_said(wrong, message):
    with pytest.raises(ConfigError) as error:
        CachePool(**{**SMALL, "budget_bytes": 1 << 20, **wrong})
    assert str(error.value).startswith(message)
