"""Law 9: bytes are sacred. What is read is bit for bit what was written, in any dtype."""

import numpy as np
import pytest

from kvring import Append, Circular, DTypeError, KVCache, ShapeError

DTYPES = [
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "complex64", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
]


def cache_of(dtype, **arguments):
    if isinstance(dtype, str) and dtype.startswith(("bfloat", "float8")):
        pytest.importorskip("ml_dtypes")
    defaults = {"layers": 1, "kv_heads": 2, "head_dim": 3, "value_dim": 5, "batch": 2}
    defaults["strategy"] = Circular(window=3, sink_tokens=1, rollback_tokens=1)
    return KVCache(dtype=dtype, **(defaults | arguments))


def random_bytes(cache, tokens, dim, random):
    axes = [2, 2, dim]
    axes.insert(cache.layout.index("S"), tokens)
    nbytes = int(np.prod(axes)) * cache.dtype.itemsize
    return np.frombuffer(random.bytes(nbytes), dtype=cache.dtype).reshape(axes)


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_random_bytes_come_back_in_every_dtype_and_layout(dtype, layout):
    cache, random = cache_of(dtype, layout=layout), np.random.default_rng(9)
    history: list[tuple[bytes, bytes]] = []
    for tokens in (1, 2, 7, 1, 1, 3):
        keys, values = (random_bytes(cache, tokens, dim, random) for dim in (3, 5))
        axis = cache.layout.index("S")
        for token in range(tokens):
            history.append((keys.take(token, axis).tobytes(), values.take(token, axis).tobytes()))
        view = cache.update(0, keys, values)
        cache.check()
        for row, position in enumerate(view.positions):
            got = view.keys.take(row, axis).tobytes(), view.values.take(row, axis).tobytes()
            assert got == history[position]


@pytest.mark.parametrize(
    "word", [0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000, 0x00000001], ids=hex
)
def test_nan_payloads_negative_zero_and_subnormals_survive(word):
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(4))
    rows = np.array([word], dtype=np.uint32).view(np.float32).reshape(1, 1, 1, 1)
    keys, values = cache.update(0, rows, rows)
    assert keys.view(np.uint32).item() == values.view(np.uint32).item() == word


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint32", ">f4"])
def test_no_dtype_is_cast_not_even_one_of_the_same_width(dtype):
    cache = cache_of("float32", value_dim=3)
    rows = np.zeros((2, 1, 2, 3), dtype=dtype)
    with pytest.raises(DTypeError, match=r"expected float32, got .*; use keys\.astype"):
        cache.update(0, rows, rows)
    assert cache.seq_len == 0


@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (2, 1, 1, 3), (2, 1, 2, 1)])
def test_nothing_is_broadcast(shape):
    cache = cache_of("float32", value_dim=3)
    good = np.zeros((2, 1, 2, 3), np.float32)
    for keys, values in ((np.zeros(shape, np.float32), good), (good, np.zeros(shape, np.float32))):
        with pytest.raises(ShapeError):
            cache.update(0, keys, values)
    assert cache.seq_len == 0


def strided(keys):
    """The same numbers in arrays that no kernel takes as they are, or only with care."""
    read_only = keys.copy()
    read_only.flags.writeable = False
    fused = np.repeat(keys, 3, axis=2)[:, :, ::3]
    apart = np.repeat(keys, 2, axis=3)[..., ::2]
    backwards = keys[:, ::-1].copy()[:, ::-1]
    mirrored = keys[..., ::-1].copy()[..., ::-1]
    fortran = np.asfortranarray(keys)
    unaligned = np.frombuffer(b"\0" + keys.tobytes(), np.uint8)[1:].view(keys.dtype)
    return [read_only, fused, apart, backwards, mirrored, fortran, unaligned.reshape(keys.shape)]


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("number", range(7))
def test_inputs_may_be_read_only_or_lie_anyhow_in_memory(tokens, number):
    keys = np.arange(2 * tokens * 2 * 3, dtype=np.float32).reshape(2, tokens, 2, 3)
    cache = cache_of("float32", value_dim=3, strategy=Append(8))
    source = strided(keys)[number]
    view = cache.update(0, source, source)
    assert np.array_equal(view.keys, keys)
    assert np.array_equal(view.values, keys)


@pytest.mark.parametrize("tokens", [1, 2, 3, 6])
@pytest.mark.parametrize("seen_before", [2, 4, 9])
def test_rows_of_the_cache_itself_are_taken_as_if_copied_first(tokens, seen_before):
    strategy = Circular(window=3, sink_tokens=1, rollback_tokens=2)
    ours = cache_of("float32", value_dim=3, strategy=strategy)
    twin = cache_of("float32", value_dim=3, strategy=strategy)
    for token in range(seen_before):
        row = np.full((2, 1, 2, 3), token, np.float32)
        for cache in (ours, twin):
            cache.update(0, row, -row)
    storage = ours.rings[0].keys_shown
    source = storage[:, :tokens]
    copied = source.copy()
    got, expected = ours.update(0, source, source), twin.update(0, copied, copied)
    ours.check()
    assert np.array_equal(got.keys, expected.keys)
    assert np.array_equal(got.values, expected.values)
    assert np.array_equal(ours.read(0).keys, twin.read(0).keys)


def test_inputs_are_not_changed_and_not_kept():
    cache = cache_of("float32", value_dim=3, strategy=Append(4))
    keys = np.ones((2, 1, 2, 3), np.float32)
    view = cache.update(0, keys, keys)
    assert (keys == 1).all()
    keys[:] = 7
    assert (view.keys == 1).all()
