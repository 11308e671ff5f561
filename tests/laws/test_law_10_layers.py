"""Law 10: layers keep their own counters, and the cache speaks for the one that is behind."""

import numpy as np

from kvring import Append, Circular, Replace
from tests.by_hand import fed, feed, make, shown


def test_during_a_step_seq_len_stays_the_position_of_the_first_token_in_flight():
    cache = fed(Append(9), 2, layers=3)
    for layer in range(3):
        assert cache.seq_len == 2
        feed(cache, 2, layer=layer)
    assert cache.seq_len == 4


def test_counters_are_int64_per_layer_and_batch_row():
    cache = fed([Append(9), Circular(2)], 4, layers=2, batch=3)
    feed(cache, 1, layer=1)
    assert cache.seq_lens.tolist() == [[4] * 3, [5] * 3]
    assert cache.lengths.tolist() == [[4] * 3, [2] * 3]
    assert cache.seq_lens.dtype == cache.lengths.dtype == np.int64
    assert (type(cache.seq_len), cache.seq_len) == (int, 4)
    assert (type(cache.length), cache.length) == (int, 2)


def test_room_is_what_every_layer_takes_in_one_update():
    assert make(Append(9)).room == 9
    assert fed(Append(9), 4).room == 5
    assert fed(Replace(6), 1).room == 6
    assert fed(Circular(3), 10).room is None
    assert fed([Append(9), Circular(3), Append(7)], 4, layers=3).room == 3


def test_layers_with_other_modes_and_widths_keep_to_themselves():
    cache = make([Append(9), Circular(2), Circular(2, 1)], layers=3, kv_heads=[1, 2, 1])
    for token in range(5):
        for layer, kv_heads in enumerate((1, 2, 1)):
            row = np.full((1, 1, kv_heads, 1), token, np.float32)
            cache.update(layer, row, row)
            cache.check()
    assert [cache.positions(layer).tolist() for layer in range(3)] == [
        [0, 1, 2, 3, 4],
        [3, 4],
        [0, 3, 4],
    ]
    assert cache.read(1).keys.shape == (1, 2, 2, 1)


def test_layers_fed_apart_come_to_the_same_as_layers_fed_in_turn():
    apart, in_turn = (make(Circular(3, 1, 1), layers=2) for _ in range(2))
    for layer in range(2):
        for _ in range(9):
            feed(apart, 1, layer=layer)
    for _ in range(9):
        for layer in range(2):
            feed(in_turn, 1, layer=layer)
    for layer in range(2):
        assert shown(apart.read(layer)) == shown(in_turn.read(layer)) == [0, 6, 7, 8]
    assert shown(feed(apart, 1, layer=0)) == [0, 7, 8, 9]
