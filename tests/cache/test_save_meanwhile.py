"""Saving while others work, being interrupted, and being told how far it is."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from kvring import Append, Circular, KVCache, LockError, StaleViewError
from kvring.readers import is_free, owned
from tests.cache.feeding import feed, make, numbered
from tests.cache.saved import advance, assert_same, build, in_every_mode
from tests.interrupts import InterruptAt
from tests.support import make_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.safetensors"


# Interrupts


def test_an_interrupt_before_any_bytecode_leaves_the_old_file_or_the_new_and_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of them
    # An interrupt between `open` and `with` drops the open file, and Python says so.
    warnings.simplefilter("ignore", ResourceWarning)
    cache = make(Circular(3), Append(9))
    feed(cache, 2, layer=1)
    cache.save(path)
    old = path.read_bytes()
    feed(cache, 5)
    cache.save(path)
    new = path.read_bytes()
    n, seen = 1, set()
    while True:
        path.write_bytes(old)
        at = InterruptAt(n)
        at.skips_exits = True
        with at:
            cache.save(path)
        assert os.listdir(path.parent) == [path.name], at.where
        assert path.read_bytes() in (old, new), at.where
        assert not owned(cache._turn), at.where
        assert all(is_free(reading) for ring in cache.rings for reading in ring.readers.inside)
        seen.add(path.read_bytes() == new)
        if not at.fired:
            break
        feed(cache, 1, layer=0) if n % 500 == 0 else cache.check()
        if n % 500 == 0:
            cache.save(path)
            new = path.read_bytes()
        n += 1 + n // 60
    assert seen == {True, False}
    assert n > 2000


# Progress


def test_progress_is_told_in_bytes_up_to_the_last_one(path: Path) -> None:
    cache = build(Append(3000), kv_heads=4, head_dim=64, value_dim=64, batch=2)
    for keys, values in [make_rows(cache.config, 0, 0, 1)]:
        rows = np.repeat(keys, 3000, axis=1), np.repeat(values, 3000, axis=1)
        cache.update(0, *rows)
    for call in (cache.save, KVCache.load):
        told: list[tuple[int, int]] = []
        call(path, progress=lambda done, total: told.append((done, total)))  # noqa: B023
        total = path.stat().st_size
        assert {of for _, of in told} == {total}
        done = [so_far for so_far, _ in told]
        assert done == sorted(done)
        assert done[-1] == total
        assert len(done) > total // (1 << 20)


def test_an_exception_of_progress_ends_the_call_and_leaves_no_file(path: Path) -> None:
    cache = in_every_mode()

    def stop(_: int, __: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        cache.save(path, progress=stop)
    assert os.listdir(path.parent) == []
    cache.save(path)
    with pytest.raises(RuntimeError, match="enough"):
        KVCache.load(path, progress=stop)


# Threads


def while_saving(cache: KVCache, path: Path, others: Any) -> None:
    """Run `others` while another thread's save waits in the middle, then let it go on."""
    inside, go_on = Event(), Event()

    def wait(_: int, __: int) -> None:
        inside.set()
        assert go_on.wait(60)

    saving = Thread(target=lambda: cache.save(path, progress=wait))
    saving.start()
    try:
        assert inside.wait(60)
        others()
    finally:
        go_on.set()
        saving.join()


def test_readers_go_on_while_a_cache_is_saved_and_writers_wait(path: Path) -> None:
    cache = in_every_mode()
    twin = cache.copy()
    written: list[Thread] = []

    def advanced() -> None:
        with suppress(StaleViewError):  # once both may go on, one may truncate between two layers
            advance(cache, 1)

    def others() -> None:
        cache.read(0)
        with cache.reading(1) as view:
            view.copy()
        cache.copy()
        cache.check()
        cache.touch(5, cache.positions(5))
        cache.pin(cache.positions(4)[-1:])
        for action in (advanced, lambda: cache.truncate(0)):
            written.append(Thread(target=action))
            written[-1].start()
            written[-1].join(0.05)
            assert written[-1].is_alive()
        assert cache.seq_lens.tolist() == twin.seq_lens.tolist()

    while_saving(cache, path, others)
    for thread in written:
        thread.join(60)
        assert not thread.is_alive()
    assert_same(twin, KVCache.load(path))


def test_a_cache_is_saved_between_the_steps_of_other_threads(path: Path) -> None:
    cache = make(Append(8), Append(8))
    feed(cache, 3)
    feed(cache, 3, layer=1)
    saving = Thread(target=lambda: cache.save(path))
    with cache.step():
        cache.update(0, *numbered(3, 1))
        saving.start()
        saving.join(0.05)
        assert saving.is_alive()
        cache.update(1, *numbered(3, 1))
    saving.join(60)
    assert KVCache.load(path).seq_lens.tolist() == [[4], [4]]


def test_inside_a_step_or_a_reading_a_thread_saves_what_there_is(path: Path) -> None:
    cache = make(Append(8), Append(8))
    with cache.step():
        cache.update(0, *numbered(0, 1))
        cache.save(path)
        cache.update(1, *numbered(0, 1))
    assert KVCache.load(path).seq_lens.tolist() == [[1], [0]]
    with cache.reading(0):
        cache.save(path)
    assert KVCache.load(path).seq_lens.tolist() == [[1], [1]]


def test_a_cache_cannot_be_changed_by_the_progress_of_its_own_save(path: Path) -> None:
    cache = make(Append(8))
    feed(cache, 3)
    refused = []

    def change(_: int, __: int) -> None:
        for action in (cache.reset, lambda: cache.update(0, *numbered(3, 1))):
            with pytest.raises(LockError, match="this thread reads a layer"):
                action()
            refused.append(action)

    cache.save(path, progress=change)
    assert refused
    feed(cache, 1)
    assert KVCache.load(path).seq_len == 3


def test_whatever_is_written_meanwhile_the_saved_layers_are_of_one_moment(path: Path) -> None:
    cache = make(*[Circular(5)] * 6)
    done = Event()

    def steps() -> None:
        while not done.is_set():
            position = cache.seq_len
            for layer in range(6):
                cache.update(layer, *numbered(position, 1))

    writer = Thread(target=steps)
    writer.start()
    try:
        for _ in range(40):
            cache.save(path)
            twin = KVCache.load(path)
            twin.check()
            seq_lens = twin.seq_lens.ravel().tolist()
            assert seq_lens == sorted(seq_lens, reverse=True)  # layer by layer, in this order
            assert seq_lens[0] - seq_lens[-1] <= 1
            for layer in range(6):
                keys, values = twin.read(layer)
                assert keys.ravel().tolist() == twin.read(layer).positions.tolist()
                np.testing.assert_array_equal(values, keys + 100)
    finally:
        done.set()
        writer.join()


def test_no_file_stays_behind_whatever_progress_raises(path: Path) -> None:
    cache = make(Circular(3))
    feed(cache, 2)

    def taken(_: int, __: int) -> None:
        raise FileExistsError("of the caller")

    with pytest.raises(FileExistsError, match="of the caller"):
        cache.save(path, progress=taken)
    assert os.listdir(path.parent) == []
