"""The life of a process: compilation raced, a disk cache shared, an exit with threads running."""

import os
import subprocess
import sys

import numba
import pytest

from tests.threads.sizes import either, only_in_full

RACE = """
import threading
import numpy as np
from kvring import Append, KVCache
row = np.ones((1, 1, 1, 1), np.float32)
chunk = np.ones((1, 5, 1, 1), np.float32)
gate, errors, started = threading.Barrier(16), [], threading.Thread.start
compilers = []

def counted(thread):
    if thread.name.startswith("kvring compiles"):
        compilers.append(thread.name)
    started(thread)

def first_use():
    try:
        cache = KVCache(layers=2, kv_heads=1, head_dim=1, strategy=Append(9))
        gate.wait()
        for layer in range(2):
            cache.update(layer, row, row)
            cache.update(layer, chunk, chunk)
        cache.check()
        assert cache.seq_len == 6
    except BaseException as error:
        errors.append(error)

threads = [threading.Thread(target=first_use) for _ in range(16)]
threading.Thread.start = counted
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(compilers), len(set(compilers)), errors)
"""

EXIT = """
import sys, threading, time
import numpy as np
from kvring import Circular, KVCache
cache = KVCache(layers=2, kv_heads=8, head_dim=64, strategy=Circular(64))
chunk = np.ones((1, 48, 8, 64), np.float32)
going = threading.Semaphore(0)

def write(layer):
    while True:
        cache.update(layer, chunk, chunk)
        cache.update(layer, chunk[:, :1], chunk[:, :1])
        going.release()

def read():
    while True:
        with cache.reading(0) as view:
            view.copy()
        with cache.step() if cache.room else cache.reading(1):
            going.release()

for work, argument in ((write, (0,)), (write, (1,)), (read, ())):
    threading.Thread(target=work, args=argument, daemon=True).start()
for _ in range(100):
    going.acquire()
print("bye")
"""


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@only_in_full
def test_sixteen_threads_that_need_a_kernel_at_once_have_it_compiled_once(tmp_path):
    assert run(RACE, NUMBA_CACHE_DIR=str(tmp_path)) == "2 2 []"


@only_in_full
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is cached")
def test_several_processes_that_start_at_once_share_an_empty_disk_cache(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    told = [process.communicate(timeout=120) for process in processes]
    assert told == [("2 2 []\n", "")] * 3
    assert run(RACE, NUMBA_CACHE_DIR=str(tmp_path)) == "2 2 []"


@pytest.mark.parametrize("attempt", range(either(1, 5)))
def test_an_interpreter_ends_cleanly_while_its_threads_write_and_read(attempt):
    assert run(EXIT) == "bye"
