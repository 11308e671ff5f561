"""The benchmark bodies, run once each in every test run and timed with ``--benchmark-enable``."""

import numba
import numpy as np
import pytest

from kvring import Append, Circular, KVCache

from . import cases, parking, ragged, saving, surgery, threads

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


@pytest.mark.parametrize("parents", surgery.PARENTS)
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_reorder(benchmark, layout, parents):
    made = surgery.contestants(64, 2, (3, 16), layout, parents)  # which checks what it gives
    benchmark.group = f"reorder, {parents}, {layout}"
    benchmark.pedantic(made["reorder"].run, rounds=10)
    made["copyto"].run()
    made["identity"].run()


def test_beam_search_makes_a_table():
    assert "[1, 1, 0, 3]: two of four change | BHSD" in surgery.section(64, 1, 2)


def test_a_long_prefill_stores_what_copying_would():
    rows = np.random.default_rng(0).random((1, 64, 3, 16), np.float32)
    cache = KVCache(layers=1, kv_heads=3, head_dim=16, strategy=Append(64))
    keys, values = cache.update(0, rows, rows)
    assert np.array_equal(keys, rows)
    assert np.array_equal(values, rows)


def test_saving_is_measured_on_what_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = saving.saving(tokens=40, rounds=1)
    assert table.count("| BSHD | ") == table.count("| BHSD | ") == 1


def test_threads_are_measured_on_caches_that_store():
    assert threads.lock_ratio((1, 4), rounds=1) > 0
    assert threads.neighbour_ratio((1, 4), updates=20) > 0
    cache = threads.unlocked_cache()(layers=1, kv_heads=1, head_dim=2, strategy=Append(9))
    row = np.ones((1, 1, 1, 2), np.float32)
    assert np.array_equal(cache.update(0, row, row).keys, row)


def test_parking_is_measured_on_what_comes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = parking.parking(tokens=20, rounds=1, steps=1)
    assert table.count("| BSHD | ") == table.count("| BHSD | ") == 1


@pytest.mark.parametrize("mode", [Append(200), Circular(64, 4, 8)], ids=["append", "wrapped ring"])
@pytest.mark.parametrize("name", ["alike", "apart", "with counts"])
def test_one_token_of_eight_batch_rows(benchmark, mode, name):
    benchmark.group = f"one token of 8 batch rows, {mode}"
    contestant = ragged.one_token_apart(mode, (3, 64), "float32", layers=2)[name]
    benchmark.pedantic(contestant.run, rounds=20)
