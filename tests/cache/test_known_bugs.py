"""The bugs of the obvious implementation, and those famous caches have had: one test for each."""

import numpy as np
import pytest

from kvring import Append, CapacityError, Circular, EvictedError, KVCache, PositionError, ShapeError
from tests.by_hand import fed, feed, make, rows, seen, shown


def test_one_global_length_would_make_later_layers_append_nothing():
    cache = make(Append(8), layers=3)
    for _ in range(2):
        for layer in range(3):
            feed(cache, 2, layer=layer)
    for layer in range(3):
        assert shown(cache.read(layer)) == [0, 1, 2, 3]


def test_concatenation_on_the_heads_axis():
    cache = KVCache(layers=1, kv_heads=2, head_dim=1, strategy=Append(4))
    for token in range(3):
        row = np.array([token, 10 + token], np.float32).reshape(1, 1, 2, 1)
        keys, _ = cache.update(0, row, row)
    assert keys.shape == (1, 3, 2, 1)
    assert keys[0, :, :, 0].tolist() == [[0, 10], [1, 11], [2, 12]]


def test_appending_onto_a_preallocated_zero_buffer():
    view = feed(make(Append(8)), 3)
    assert shown(view) == [0, 1, 2], "the rows are the first, not behind 8 rows of zeros"


def test_a_chunks_length_taken_for_the_total_truncates_on_every_decode_step():
    cache = fed(Append(8), 6)
    with pytest.raises(ShapeError, match="it is the total, not the chunk"):
        cache.update(0, *rows(6, 7), seq_len=1)
    assert shown(cache.read(0)) == [0, 1, 2, 3, 4, 5]


def test_full_history_and_new_rows_confused():
    cache = fed(Append(8), 2)
    assert shown(cache.update(0, *rows(0, 3), seq_len=3)) == [0, 1, 2]
    assert shown(cache.update(0, *rows(3, 4), seq_len=4)) == [0, 1, 2, 3]


def test_clamping_the_length_to_the_window_loses_the_absolute_position():
    cache = fed(Circular(4), 11)
    assert cache.length == 4
    assert cache.seq_len == 11
    assert feed(cache, 1).positions[-1] == 11


def test_circular_that_shifts_by_copying():
    cache = fed(Circular(4), 4)
    before = cache.rings[0].keys_shown.copy()
    feed(cache, 1)
    changed = (cache.rings[0].keys_shown != before)[0, :, 0, 0]
    assert changed.tolist() == [True, False, False, False], "one slot written, none moved"


def test_k_stored_before_v_is_checked():
    cache = fed(Append(8), 2)
    stored = cache.rings[0].keys_shown.tobytes()
    with pytest.raises(ShapeError, match="values"):
        cache.update(0, rows(2, 3)[0], np.zeros((1, 1, 2, 1), np.float32))
    assert cache.rings[0].keys_shown.tobytes() == stored


def test_a_rejected_append_that_leaves_a_phantom_row():
    cache = fed(Append(3), 2)
    with pytest.raises(CapacityError):
        cache.update(0, *rows(2, 4))
    assert (cache.seq_len, cache.length, cache.room) == (2, 2, 1)
    assert shown(feed(cache, 1)) == [0, 1, 2]


def test_v_shorter_than_k_broadcast_silently():
    cache = make(Append(8))
    with pytest.raises(ShapeError, match="values: expected 3 tokens on axis 1 as in keys, got 1"):
        cache.update(0, rows(0, 3)[0], rows(0, 1)[1])


def test_trim_on_a_wrapped_ring_that_only_moves_a_counter():
    cache = fed(Circular(4), 9)
    with pytest.raises(EvictedError):
        cache.truncate(8)
    cache = fed(Circular(4, rollback_tokens=1), 9)
    cache.truncate(8)
    assert shown(cache.read(0)) == [4, 5, 6, 7]
    assert shown(feed(cache, 1)) == [5, 6, 7, 8]


def test_modulo_applied_to_every_axis():
    cache = KVCache(layers=1, kv_heads=5, head_dim=7, batch=4, strategy=Circular(2))
    random = np.random.default_rng(0)
    for _ in range(5):
        row = random.random((4, 1, 5, 7), np.float32)
        keys, _ = cache.update(0, row, row)
        assert np.array_equal(keys[:, -1:], row), "more heads and batch rows than slots"


def test_early_queries_of_a_chunk_robbed_of_their_window():
    view = feed(fed(Circular(4), 8), 6)
    assert seen(view)[0] == [5, 6, 7, 8]
    assert seen(view)[-1] == [10, 11, 12, 13]


@pytest.mark.parametrize("window", [1, 2, 3])
def test_window_off_by_one(window):
    assert len(shown(fed(Circular(window), 9).read(0))) == window


def test_physical_order_returned_as_if_temporal():
    cache = fed(Circular(4), 6)
    assert shown(cache.read(0)) == [2, 3, 4, 5]
    assert shown(cache.read(0, order="physical")) == [4, 5, 2, 3]


def test_negative_trim_that_adds_rows():
    cache = fed(Append(8), 3)
    for seq_len in (4, -1):
        with pytest.raises(PositionError):
            cache.truncate(seq_len)
    assert cache.seq_len == 3
