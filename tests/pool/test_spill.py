"""Sequences on disk: the same when they come back, and never silently empty."""

from __future__ import annotations

import resource
import shutil
import signal

import numpy as np
import pytest

from kvring import (
    FIFO,
    LRU,
    Append,
    BudgetError,
    Circular,
    ConfigError,
    EvictionPolicy,
    HeavyHitter,
    KVCache,
    Replace,
    SnapshotError,
)
from tests.pool.pools import (
    PAGE,
    SMALL,
    cache_of,
    committed_pages,
    feed,
    make_sequence,
    named,
    names,
    small_pool,
)


def spill_files(folder):
    """The files of sequences below a spill folder."""
    return [path for path in folder.glob("*/*") if path.name != "in-use"]


def spilled(tmp_path, **options):
    """A pool in which sequence a is on disk and b in memory; and what a holds."""
    pool = small_pool(pages=8, spill=tmp_path, **options)
    kept = make_sequence(pool, "a", 20)
    make_sequence(pool, "b", 20)
    assert [info.where for info in pool.sequences()] == ["idle", "spilled"]
    (path,) = spill_files(tmp_path)
    assert path.parent.stat().st_mode & 0o077 == 0  # for its owner alone
    return pool, kept


MODES = {
    "append": Append(64),
    "wrapped": Circular(window=9, sink_tokens=2, rollback_tokens=3),
    "replace": Replace(50),
    "fifo": Append(20, eviction=FIFO(), sink_tokens=1),
    "lru": Append(20, eviction=LRU()),
    "heavy": Append(20, eviction=HeavyHitter(recent_tokens=3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("mode", MODES)
def test_a_restored_sequence_goes_on_as_if_it_had_never_left(mode, dtype, tmp_path):
    shape = {"layers": 3, "kv_heads": 2, "head_dim": 8, "value_dim": 4, "batch": 2}
    config = {**shape, "strategy": MODES[mode], "dtype": dtype, "layout": "BHSD"}
    pool = small_pool(pages=16, spill=tmp_path, **config)
    twin = KVCache(**config)
    for turn in range(12):
        with pool.lease("a") as cache:
            for each in (cache, twin):
                if turn % 4 == 3 and mode != "replace":
                    each.truncate(each.seq_len - 1) if mode != "fifo" else None
                if mode == "lru":
                    each.touch(1, [each.positions(1).ravel()[0]]) if each.seq_len else None
                feed(each, 1 + turn % 3, history=turn)
            cache.check()
            assert names(cache) == names(twin)
            assert [cache.slots(n).tolist() for n in range(3)] == [
                twin.slots(n).tolist() for n in range(3)
            ]
        make_sequence(pool, f"other {turn % 2}", 6)
    assert pool.stats.restores > 5


def test_a_restore_commits_what_the_sequence_had_and_no_more(tmp_path):
    pool, _ = spilled(tmp_path)
    with pool.lease("a") as cache:
        assert committed_pages(cache) == 8
        assert pool.stats.bytes == 8 * PAGE
    assert cache_of(pool, "b") is None
    assert len(spill_files(tmp_path)) == 1


class Stubborn(EvictionPolicy):
    """A policy that cannot be saved."""

    def evict(self, layer, batch_row, positions, count, seq_len):
        return positions[:count]


def test_what_cannot_be_saved_stays_in_memory(tmp_path):
    told = []
    mode = Append(64, eviction=Stubborn())
    pool = small_pool(pages=8, spill=tmp_path, strategy=mode, on_event=told.append)
    kept = make_sequence(pool, "a", 20)
    check_that_a_stays(pool, kept, told, "cannot be saved")
    assert spill_files(tmp_path) == []


def check_that_a_stays(pool, kept, told, reason):
    with pool.lease("b") as cache:
        with pytest.raises(BudgetError, match="of which 1 could not be spilled"):
            feed(cache, 20)
        assert cache.seq_len == 0
    assert named(pool, "a") == kept
    failures = [event for event in told if event.kind == "spill failed"]
    assert failures
    assert all(reason in event.reason for event in failures)
    assert pool.stats.spills == pool.stats.evictions == 0


def test_a_full_disk_leaves_the_sequence_in_memory_and_no_file(tmp_path):
    told = []
    pool = small_pool(pages=8, spill=tmp_path, on_event=told.append)
    kept = make_sequence(pool, "a", 20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # of any file
    try:
        check_that_a_stays(pool, kept, told, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert spill_files(tmp_path) == []
    make_sequence(pool, "b", 20)
    assert pool.stats.spills == 1


def test_a_folder_that_cannot_be_written_leaves_the_sequence_in_memory(tmp_path):
    told = []
    pool = small_pool(pages=8, spill=tmp_path / "inside", on_event=told.append)
    kept = make_sequence(pool, "a", 20)
    shutil.rmtree(tmp_path / "inside")
    (tmp_path / "inside").write_text("a file in its place")
    check_that_a_stays(pool, kept, told, "Not a directory")


def test_a_folder_that_was_cleared_is_made_again(tmp_path):
    pool = small_pool(pages=8, spill=tmp_path / "inside")
    kept = make_sequence(pool, "a", 20)
    shutil.rmtree(tmp_path / "inside")
    make_sequence(pool, "b", 20)
    assert named(pool, "a") == kept


def damage(path, how):
    if how == "gone":
        path.unlink()
    elif how == "folder gone":
        shutil.rmtree(path.parent)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "of another":
        other = KVCache(**{**SMALL, "head_dim": 32})
        feed(other, 20)
        other.save(path)
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize(
    "how", ["gone", "folder gone", "empty", "truncated", "flipped", "of another"]
)
def test_a_lost_or_damaged_file_is_said_at_every_lease_until_the_sequence_is_closed(how, tmp_path):
    told = []
    pool, _ = spilled(tmp_path, on_event=told.append)
    (path,) = spill_files(tmp_path)
    damage(path, how)
    for _ in range(3):
        with pytest.raises(SnapshotError) as error:
            pool.lease("a").__enter__()
        assert "sequence 'a' was spilled to" in str(error.value)
        assert str(error.value).endswith("close it to begin anew")
        assert (pool.stats.leased, pool.stats.misses) == (0, 2)
    assert [event.kind for event in told].count("restore failed") == 3
    assert pool.stats.evictions == 1  # nobody gives way for a file that cannot be read
    make_sequence(pool, "c", 20)  # everything else goes on
    assert pool.close("a")
    assert named(pool, "a") == [[], []]


def test_a_file_that_is_back_is_read(tmp_path):
    pool, kept = spilled(tmp_path)
    (path,) = spill_files(tmp_path)
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(SnapshotError):
        pool.lease("a").__enter__()
    (tmp_path / "elsewhere").rename(path)
    assert named(pool, "a") == kept


def test_a_restore_that_does_not_fit_leaves_the_sequence_on_disk(tmp_path):
    pool, kept = spilled(tmp_path)
    with pool.lease("b"):
        with pytest.raises(BudgetError, match="the 20 tokens of 'a' on disk take 32,768 more"):
            pool.lease("a").__enter__()
        assert pool.stats.spilled == 1
    assert named(pool, "a") == kept


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"spill: cannot write to .*Not a directory"):
        small_pool(pages=8, spill=tmp_path / "file" / "inside")


def test_a_bfloat16_sequence_comes_back_bit_for_bit(tmp_path):
    import ml_dtypes

    pool = small_pool(pages=8, spill=tmp_path, dtype=ml_dtypes.bfloat16)
    words = np.arange(20 * 64, dtype=np.uint16).reshape(1, 20, 1, 64) * 51
    with pool.lease("a") as cache:
        for layer in range(2):
            cache.update(layer, words.view(ml_dtypes.bfloat16), words.view(ml_dtypes.bfloat16))
    make_sequence(pool, "b", 60)
    assert pool.stats.spilled == 1
    with pool.lease("a") as cache:
        assert (cache.read(1).values.view(np.uint16) == words).all()


def test_files_that_changed_places_are_no_ones(tmp_path):
    pool, _ = spilled(tmp_path)
    make_sequence(pool, "c", 20)  # b gives way, too
    first, second = spill_files(tmp_path)
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    for name in ("a", "b"):
        with pytest.raises(SnapshotError, match="the file is another one"):
            pool.lease(name).__enter__()
