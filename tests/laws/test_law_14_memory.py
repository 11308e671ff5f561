"""Law 14: a steady decode loop allocates nothing net, and memory is committed as tokens arrive."""

import gc
import subprocess
import sys
import tracemalloc

import numba
import numpy as np
import pytest

from kvring import Append, Circular, KVCache

RESIDENT = """
import sys
import numpy as np
from kvring import Append, KVCache, warm_up

warm_up()
layout, layers = sys.argv[1], 30
page = 4096

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * page

def row(tokens):
    axes = [1, 3, 64]
    axes.insert(layout.index("S"), tokens)
    return np.ones(axes, np.float32)

one, many = row(1), row(127)
small = KVCache(layers=1, kv_heads=3, head_dim=64, strategy=Append(200), layout=layout)
small.update(0, many, many); small.update(0, one, one)
before = resident()
cache = KVCache(layers=layers, kv_heads=3, head_dim=64, strategy=Append(1_000_000), layout=layout)
print(resident() - before)
for rows in (one, many):
    for layer in range(layers):
        cache.update(layer, rows, rows)
    print(resident() - before - cache.nbytes_used)
print(cache.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
@pytest.mark.parametrize(("layout", "planes"), [("BSHD", 60), ("BHSD", 180)])
def test_a_million_reserved_tokens_cost_the_rows_written_and_a_page_per_plane(layout, planes):
    run = [sys.executable, "-c", RESIDENT, layout]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    reserved, after_one, after_128, nbytes = map(int, printed.split())
    python_objects = 1 << 20  # rings, states, whatever the allocator rounds up
    assert nbytes == 1_000_000 * 30 * 2 * 3 * 64 * 4
    assert reserved < python_objects
    assert after_one < planes * 4096 + python_objects
    assert after_128 < planes * 4096 + python_objects


compiled = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="without jit a kernel is Python code that allocates"
)


def net_bytes(steps, count):
    """Bytes that Python objects hold after `count` more steps and did not before."""
    steps(300)  # past the numbers that Python keeps ready-made
    tracemalloc.start()
    try:
        readings = []
        for more in (5, count):
            steps(more)
            gc.collect()  # empties the interpreter's own lists of tuples to use again
            readings.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return readings[1] - readings[0]


@compiled
@pytest.mark.parametrize(
    ("mode", "order"),
    [(Append(4000), "temporal"), (Circular(16, 2), "physical"), (Circular(16, 2, 3), "physical")],
    ids=str,
)
def test_a_steady_step_allocates_nothing_net(mode, order):
    cache = KVCache(layers=4, kv_heads=2, head_dim=4, strategy=mode)
    row = np.ones((1, 1, 2, 4), np.float32)

    def steps(count):
        for _ in range(count):
            for layer in range(4):
                keys, values = cache.update(layer, row, row, order=order)
                del keys, values

    assert abs(net_bytes(steps, 1000)) < 500, "bytes, over 4000 updates"


@compiled
def test_segments_in_temporal_order_allocate_nothing_net_either():
    cache = KVCache(layers=2, kv_heads=2, head_dim=4, strategy=Circular(16, 2))
    row = np.ones((1, 1, 2, 4), np.float32)

    def steps(count):
        for _ in range(count):
            for layer in range(2):
                for keys, _ in cache.update(layer, row, row).segments:
                    del keys

    assert abs(net_bytes(steps, 500)) < 500
    assert cache.stats.rows_gathered == 0


def test_an_array_taken_out_of_a_view_keeps_its_memory_when_the_cache_goes():
    cache = KVCache(layers=1, kv_heads=1, head_dim=4, strategy=Append(10))
    keys, _ = cache.update(0, *(np.ones((1, 1, 1, 4), np.float32),) * 2)
    del cache
    gc.collect()
    assert keys.tolist() == [[[[1.0] * 4]]], "an array taken out keeps its memory alive"
