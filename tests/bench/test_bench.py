"""The benchmark bodies, run once each in every test run and timed with ``--benchmark-enable``."""

import numba
import numpy as np
import pytest

from kvring import Append, Circular, KVCache

from . import cases

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="times compiled kernels")

SHAPES = [(3, 64), (8, 128)]
DTYPES = ["float32", "float16"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", [Append(500), Circular(100, 4)], ids=["append", "wrapped ring"])
@pytest.mark.parametrize("name", ["bare", "update", "bare, sliced", "update, unpacked"])
def test_one_token_in_each_of_four_layers(benchmark, mode, shape, dtype, name):
    benchmark.group = f"one token, {shape}, {dtype}"
    cache = cases.filled(mode, 4, shape, dtype, 120)
    row = np.random.default_rng(0).random((1, 1, *shape)).astype(dtype)
    bare = cases.Bare.make(4, 120, *shape, dtype)
    contestant = cases.decode(cache, bare, row)[name]
    benchmark.pedantic(contestant.run, rounds=50)
    if name.startswith("update"):
        assert np.array_equal(cache.read(3).keys[:, -1:], row)
    else:
        assert np.array_equal(bare.keys[3][:, :1], row)


@pytest.mark.parametrize("name", ["copyto", "update"])
@pytest.mark.parametrize("kind", ["fresh", "warm", "assembled"])
def test_prefill(benchmark, kind, name):
    benchmark.group = f"prefill, {kind}"
    rows = np.random.default_rng(0).random((2, 1, 64, 3, 16), np.float32)
    contestants = {
        "fresh": lambda: cases.fresh_prefill(Append(64), 2, rows),
        "warm": lambda: cases.warm_prefill(Append(64), 2, rows),
        "assembled": lambda: cases.assembled_prefill(32, 2, rows),
    }[kind]()
    benchmark.pedantic(contestants[name].run, setup=contestants[name].prepare, rounds=10)


def test_a_long_prefill_stores_what_copying_would():
    rows = np.random.default_rng(0).random((1, 64, 3, 16), np.float32)
    cache = KVCache(layers=1, kv_heads=3, head_dim=16, strategy=Append(64))
    keys, values = cache.update(0, rows, rows)
    assert np.array_equal(keys, rows)
    assert np.array_equal(values, rows)
