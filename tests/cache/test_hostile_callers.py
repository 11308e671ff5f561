"""What a careless or hostile caller may do: nothing may crash, leak or be stored wrongly."""

import copy
import gc
import json
import pickle
import subprocess
import sys
import weakref

import numba
import numpy as np
import pytest

from kvring import Append, Circular, DTypeError, KVCache, KVRingError, RingBuffer, ShapeError
from tests.by_hand import fed, feed, make, rows, shown


class FourAxes(np.ndarray):
    """Says of itself that it has four axes."""

    ndim = 4


class Float32(np.ndarray):
    """Says of itself that it is float32."""

    dtype = np.dtype(np.float32)


class TwoTokens(np.ndarray):
    """Says of itself that it has two tokens."""

    shape = (1, 2, 1, 1)
    ndim = 4


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.ones((1,) * 32, np.float32).view(FourAxes), ShapeError),
        (np.ones((1, 1, 1, 1), np.int32).view(Float32), DTypeError),
        (np.ones(3, np.float32).view(TwoTokens), ShapeError),
        (np.ma.masked_array(rows(0, 1)[0], mask=True), DTypeError),
    ],
    ids=["axes", "dtype", "shape", "mask"],
)
def test_an_array_that_lies_about_itself_is_refused(array, error):
    cache = fed(Append(4), 1)
    with pytest.raises(error):
        cache.update(0, array, array)
    assert shown(cache.read(0)) == [0]


def test_an_honest_subclass_is_stored_as_the_plain_array_it_is(tmp_path):
    keys = np.memmap(tmp_path / "keys", np.float32, "w+", shape=(1, 1, 1, 1))
    cache = fed(Append(4), 1)
    cache.update(0, keys, keys)
    assert type(cache.read(0).keys) is np.ndarray


def test_an_order_made_at_run_time_is_as_good_as_a_literal():
    cache = fed(Circular(3), 5)
    order = json.loads('"physical"')
    view = cache.update(0, *rows(5, 6), order=order)
    assert shown(view) == [3, 4, 5]
    assert len(view.segments) == 1
    assert shown(cache.read(0, order=order)) == [3, 4, 5]


@pytest.mark.parametrize("name", ["capacity", "kv_heads", "batch", "dtype", "layout", "lock"])
def test_what_kernels_trust_cannot_be_changed_from_outside(name):
    ring = RingBuffer(capacity=3, kv_heads=1, head_dim=1)
    with pytest.raises(AttributeError, match=f"{name} of a ring cannot be changed"):
        setattr(ring, name, 10**7)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_pythons_own_copies_of_a_cache_are_caches_of_their_own(duplicate):
    cache = fed(Circular(3), 5)
    twin = duplicate(cache)
    twin.reset()
    assert shown(cache.read(0)) == [2, 3, 4]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_ring_cannot_be_copied_or_pickled(duplicate):
    with pytest.raises(TypeError, match="a ring cannot be copied or pickled"):
        duplicate(RingBuffer(capacity=3, kv_heads=1, head_dim=1))


def test_a_copy_of_a_subclass_keeps_what_the_subclass_added():
    class Named(KVCache):
        """A cache with a name."""

    cache = Named(layers=1, kv_heads=1, head_dim=1, strategy=Append(4))
    cache.name = "chat-42"
    feed(cache, 2)
    twin = cache.copy()
    assert (type(twin), twin.name) == (Named, "chat-42")
    feed(twin, 1)
    assert (shown(cache.read(0)), shown(twin.read(0))) == ([0, 1], [0, 1, 2])


def unused():
    return make(Append(4))


def decoded():
    return fed(Circular(3), 5)


def only_prefilled():
    cache = make(Append(4))
    cache.update(0, *rows(0, 3))
    return cache


def wide():
    cache = make(Append(2), batch=4, kv_heads=16, head_dim=512)
    row = np.zeros((4, 1, 16, 512), np.float32)
    cache.update(0, row, row)
    return cache


@pytest.mark.parametrize("new", [unused, decoded, only_prefilled, wide])
def test_a_dropped_cache_gives_its_memory_back_at_once(new):
    gc.collect()
    gc.disable()
    try:
        cache = new()
        rings = [weakref.ref(ring) for ring in cache.rings]
        del cache
        assert [ring() for ring in rings] == [None] * len(rings)
    finally:
        gc.enable()


def test_a_batch_row_wider_than_64_kib_is_stored_too():
    cache = wide()
    row = np.random.default_rng(0).random((4, 1, 16, 512), np.float32)
    keys, values = cache.update(0, row, row)
    assert np.array_equal(keys[:, 1:], row)
    assert np.array_equal(values[:, 1:], row)


def test_whole_cache_calls_work_deep_in_somebodys_stack():
    cache = make(Append(4), layers=512)

    def deep(frames):
        if frames:
            return deep(frames - 1)
        cache.truncate(0)
        cache.reset()
        cache.check()
        return cache.copy().layers

    assert deep(600) == 512


def test_check_does_not_sleep_when_asserts_do():
    code = """
from kvring import Append, KVCache
cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(4))
cache._ledger[0] = type(cache._ledger[0]).at_rest(cache.rings[0].state._replace(length=9))
try:
    cache.check()
except AssertionError as error:
    print(error)
"""
    run = [sys.executable, "-O", "-c", code]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "length outside 0..4" in printed


INTERRUPTED = """
import signal, sys
import numpy as np
from kvring import Append, KVCache, KVRingError

def interrupt(*_):
    raise KeyboardInterrupt

row = np.ones((1, 1, 1, 1), np.float32)
cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(9))
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
try:
    cache.update(0, row, row)
except KeyboardInterrupt:
    print("interrupted")
signal.setitimer(signal.ITIMER_REAL, 0)
before = cache.seq_len
cache.update(0, row, row)
cache.update(0, np.ones((1, 2, 1, 1), np.float32), np.ones((1, 2, 1, 1), np.float32))
cache.check()
assert cache.seq_len == before + 3
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.4])
def test_ctrl_c_while_the_first_update_compiles_leaves_a_process_that_works(seconds, tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(seconds)]
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "interrupted" in done.stdout


def test_a_refusal_of_the_base_class_is_caught_with_all_others():
    ring = fed(Append(4), 1).rings[0]
    with pytest.raises(KVRingError, match="belongs to a cache"):
        ring.clear()
