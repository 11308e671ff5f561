"""os.fork while other threads work: both sides go on, share no memory, nobody waits for ever."""

import os
import signal
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

from kvring import Append, Circular, KVCache, LockError
from tests.by_hand import fed, make, rows, settle, shown
from tests.interrupts import within
from tests.threads.people import Person, in_child, somebody_inside
from tests.threads.sizes import only_in_full

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
RING = Circular(3, 1, 2)


def test_parent_and_child_go_on_from_the_same_state_and_share_no_memory():
    cache = fed(RING, 8)

    def child():
        assert shown(cache.update(0, *rows(8, 9))) == [0, 6, 7, 8]
        cache.truncate(8)
        settle(cache)
        cache.reset()

    in_child(child)
    settle(cache)
    assert shown(cache.read(0)) == [0, 5, 6, 7]
    assert shown(cache.update(0, *rows(8, 9))) == [0, 6, 7, 8]


def test_a_fork_waits_for_an_update_of_another_thread_and_the_child_finds_it_whole():
    cache, go, forked = fed(RING, 8), threading.Event(), threading.Event()
    ring = cache.rings[0]

    def slowly(*arguments):
        go.set()
        assert not forked.wait(0.2), "the fork did not wait"
        return put_row(*arguments)

    put_row, ring._put_row = ring._put_row, slowly
    writer = Person(lambda: cache.update(0, *rows(8, 9)))
    go.wait()

    def child():
        assert shown(cache.read(0)) == [0, 6, 7, 8]
        settle(cache)

    in_child(child)
    forked.set()
    writer.outcome()
    assert not ring.lock.locked()


def test_a_child_neither_waits_for_the_readers_of_its_parent_nor_hears_of_them():
    cache = fed(RING, 8, layers=2)

    def child():
        cache.truncate(7)
        with cache.reading(0) as view:
            assert shown(view) == [0, 4, 5, 6]
        cache.update(1, *rows(7, 8))

    with somebody_inside(lambda: cache.reading(0)), somebody_inside(lambda: cache.reading(1)):
        in_child(child)


def test_a_thread_that_forks_while_it_reads_is_still_reading_in_the_child():
    cache = fed(RING, 8)

    def child():
        with pytest.raises(LockError):
            cache.update(0, *rows(8, 9))
        reading.__exit__(None, None, None)
        cache.update(0, *rows(8, 9))
        settle(cache)

    reading = cache.reading(0)
    with reading:
        in_child(child)


def test_a_child_does_not_wait_for_the_step_of_another_thread():
    cache = fed(RING, 8)
    with somebody_inside(cache.step):
        in_child(lambda: cache.truncate(7))


def test_a_step_may_be_taken_on_and_back_in_both_processes():
    cache = fed(RING, 8)

    def failing(fork):
        with cache.step():
            cache.update(0, *rows(8, 9))
            if fork:
                in_child(lambda: child())
            raise ZeroDivisionError

    def child():
        assert shown(cache.read(0)) == [0, 6, 7, 8]
        with pytest.raises(LockError):
            cache.truncate(7)

    with pytest.raises(ZeroDivisionError):
        failing(fork=True)
    assert shown(cache.read(0)) == [0, 5, 6, 7]


def test_a_signal_handler_may_fork_in_the_middle_of_an_update():
    cache = fed(RING, 8)
    ring = cache.rings[0]
    seen = []

    def fork(*_):
        child = os.fork()
        seen.append(child)

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGUSR1)
        return put_row(*arguments)

    put_row, ring._put_row = ring._put_row, interrupted
    before = signal.signal(signal.SIGUSR1, fork)
    try:
        view = cache.update(0, *rows(8, 9))
        ring._put_row = put_row
        if seen == [0]:  # the child: the update that was interrupted came through here too
            right = shown(view) == [0, 6, 7, 8]
            cache.update(0, *rows(9, 10))
            cache.truncate(9)
            os._exit(0 if right and not ring.lock.locked() else 1)
    except BaseException:
        if seen == [0]:
            os._exit(2)
        raise
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert os.waitstatus_to_exitcode(os.waitpid(seen[0], 0)[1]) == 0
    assert shown(cache.update(0, *rows(9, 10))) == [0, 7, 8, 9]


def test_many_forks_among_many_writers_all_find_whole_layers():
    keys = np.zeros((1, 64, 8, 64), np.float32)  # 256 KiB with the values: the kernel frees the GIL
    cache = KVCache(layers=3, kv_heads=8, head_dim=64, strategy=Circular(64))
    stop = threading.Event()

    def write(layer):
        for number in range(10**9):
            if stop.is_set():
                return
            cache.update(layer, keys + number, keys + number)

    writers = [Person(lambda layer=layer: write(layer)) for layer in range(3)]

    def child():
        for layer in range(3):
            stored, values = cache.read(layer)
            assert np.array_equal(stored, values)
            assert len(np.unique(stored)) <= 1, "rows of two updates"
            cache.update(layer, keys, keys)
        cache.reset()

    for _ in range(10):
        in_child(child)
    stop.set()
    for writer in writers:
        writer.outcome()


def test_caches_and_rings_that_are_gone_are_not_waited_for():
    from kvring import forking

    before = len(forking._living)
    cache = make(Append(4), layers=5)
    assert len(forking._living) == before + 6
    del cache
    assert len(forking._living) == before


FORKED_WHILE_COMPILING = """
import os, threading
import numpy as np
from kvring import Append, KVCache
from kvring import compiling
row = np.ones((1, 1, 1, 1), np.float32)

def update():
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(4))
    for _ in range(3):
        cache.update(0, row, row)
    cache.update(0, row[:, :0], row[:, :0])
    assert cache.seq_len == 3

worker = threading.Thread(target=update)
worker.start()
while not compiling._under_way:
    pass
child = os.fork()
if child == 0:
    compiling._compiled.clear()  # as if the parent had got no further than it had
    update()
    os._exit(0)
worker.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@only_in_full
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_a_child_forked_while_another_thread_compiles_can_compile(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED_WHILE_COMPILING],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_a_fork_beside_steps_of_another_thread_waits_for_no_longer_than_a_step():
    """Two that take many locks each: neither may stand still on one that the other has."""
    cache, over = make(Circular(32, 0, 2), layers=30), threading.Event()

    def work():
        while not over.is_set():
            with cache.step():
                for layer in range(30):
                    cache.update(layer, *rows(0, 1))
            cache.truncate(0)

    worker = Person(work)
    try:
        for _ in range(60):
            with within(10):
                in_child(lambda: cache.check())
    finally:
        over.set()
    worker.outcome()
