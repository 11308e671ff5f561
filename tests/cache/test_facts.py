"""What a cache says of itself: counters, sizes, statistics, reprs; and copies, and warm_up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kvring
from kvring import Append, Circular, ConfigError, KVCache, Replace, Stats, compiling, warm_up
from kvring.config import MOST_LAYERS
from tests.cache.feeding import feed, make, numbers, pieces, worked
from tests.support import WORKED_EXAMPLE, make_rows, poison

MIXED: dict[str, Any] = {
    "layers": 3,
    "kv_heads": [1, 2, 3],
    "head_dim": [4, 8, 2],
    "value_dim": [4, 2, 6],
    "strategy": [Append(8), Circular(3, sink_tokens=1), Replace(5)],
    "batch": 2,
    "dtype": "float16",
}


# Counters


def test_counters_of_layers_move_apart_and_the_cache_shows_the_smallest() -> None:
    cache = make(WORKED_EXAMPLE, WORKED_EXAMPLE, batch=1)
    assert (cache.seq_len, cache.length) == (0, 0)
    feed(cache, 12, layer=0)
    feed(cache, 5, layer=1)
    assert cache.seq_lens.tolist() == [[12], [5]]
    assert cache.lengths.tolist() == [[7], [5]]
    assert (cache.seq_len, cache.length) == (5, 5)
    assert (type(cache.seq_len), type(cache.length)) == (int, int)


def test_counters_per_batch_row_are_int64_and_a_copy() -> None:
    cache = KVCache(layers=2, kv_heads=1, head_dim=1, batch=3, strategy=Append(4))
    rows = np.zeros((3, 2, 1, 1), np.float32)
    cache.update(1, rows, rows)
    for counters in (cache.seq_lens, cache.lengths):
        assert (counters.tolist(), counters.dtype) == ([[0] * 3, [2] * 3], np.int64)
        counters[...] = 9
    cache.check()
    assert cache.seq_lens.tolist() == cache.lengths.tolist() == [[0] * 3, [2] * 3]


def test_during_a_step_seq_len_is_the_position_of_the_first_token_in_flight() -> None:
    cache = make(*[WORKED_EXAMPLE] * 3)
    for layer in range(3):
        assert cache.seq_len == 0
        view = feed(cache, 1, layer=layer)
        assert view.positions.tolist() == [0]
    assert cache.seq_len == 1


@pytest.mark.parametrize(
    ("modes", "rooms"),
    [
        ([Append(4)], [4, 1, 0]),
        ([Replace(4)], [4, 4, 4]),
        ([Circular(2)], [None, None, None]),
        ([Append(5), Circular(1), Append(4)], [4, 1, 0]),
        ([Replace(3), Append(9)], [3, 3, 3]),
        ([Circular(2), Append(9)], [9, 6, 5]),
    ],
)
def test_room_is_what_one_update_of_every_layer_takes(
    modes: list[Any], rooms: list[int | None]
) -> None:
    cache = make(*modes)
    found = [cache.room]
    for count in (3, 1):
        for layer in range(len(modes)):
            feed(cache, count, layer=layer)
        found.append(cache.room)
    assert found == rooms


# Sizes


def test_bytes_reserved_and_used_count_keys_and_values() -> None:
    cache = KVCache(layers=2, kv_heads=3, head_dim=4, value_dim=5, batch=2, strategy=WORKED_EXAMPLE)
    row = 2 * 3 * (4 + 5) * 4  # batch rows x KV heads x elements x bytes
    assert (cache.nbytes, cache.nbytes_used) == (2 * 7 * row, 0)
    cache.update(0, *make_rows(cache.config, 0, 0, 12))
    assert cache.nbytes_used == 7 * row
    cache.update(1, *make_rows(cache.config, 1, 0, 3))
    assert (cache.nbytes, cache.nbytes_used) == (2 * 7 * row, 10 * row)
    cache.truncate(1)
    assert cache.nbytes_used == 2 * row


# Statistics


def test_stats_of_a_new_cache_are_zero() -> None:
    assert make(Append(4)).stats == Stats(0, 0, 0, 0, 0)


def test_stats_add_up_over_layers_and_batch_rows() -> None:
    cache = KVCache(layers=2, kv_heads=1, head_dim=1, batch=3, strategy=WORKED_EXAMPLE)
    for layer in range(2):
        cache.update(layer, *make_rows(cache.config, layer, 0, 10))
    # Each of 2 layers x 3 batch rows took 10 tokens and kept 7, of 8 bytes each.
    assert cache.stats == Stats(
        tokens_written=60, bytes_written=42 * 8, rows_evicted=18, rows_assembled=60, rows_gathered=0
    )


def test_stats_count_every_kind_of_row_once() -> None:
    cache, view = worked()
    assert cache.stats == Stats(12, 12 * 8, 5, 0, 0)
    tuple(view)
    tuple(view)
    assert cache.stats == Stats(12, 12 * 8, 5, 0, 5)
    feed(cache, 5)
    assert cache.stats == Stats(17, 17 * 8, 10, 9, 5)
    cache.truncate(15)
    cache.reset()
    assert cache.stats == Stats(17, 17 * 8, 10, 9, 5)


def test_rows_that_replace_mode_overwrites_are_not_evicted() -> None:
    cache = make(Replace(4))
    feed(cache, 3, 2, first=0)
    assert cache.stats == Stats(5, 5 * 8, 0, 0, 0)


# Positions and slots


def test_positions_and_slots_are_those_of_all_resident_rows_oldest_first() -> None:
    cache, _ = worked()
    assert cache.positions(0).tolist() == [0, 6, 7, 8, 9, 10, 11]
    assert cache.slots(0).tolist() == [0, 6, 1, 2, 3, 4, 5]
    assert cache.positions(0).dtype == cache.slots(0).dtype == np.int64
    cache.truncate(10)
    assert cache.positions(np.int64(0)).tolist() == [0, 6, 7, 8, 9]
    assert cache.slots(0).tolist() == [0, 6, 1, 2, 3]
    cache.reset()
    assert cache.positions(0).tolist() == cache.slots(0).tolist() == []


# Reprs


def test_a_cache_says_its_mode_its_sizes_and_where_its_head_is() -> None:
    cache = KVCache(layers=30, kv_heads=3, head_dim=64, strategy=Circular(4096, 4, 8))
    assert repr(cache) == (
        "<KVCache Circular(window=4096, sink_tokens=4, rollback_tokens=8): 30 layers of 3 x 64"
        " float32, batch 1, BSHD; seq_len 0; layer 0: 0 of 4108 slots, head at slot 4;"
        " 0 bytes of 180.5 MiB>"
    )


def test_a_cache_of_mixed_layers_names_each_mode_and_shape() -> None:
    cache = KVCache(**MIXED)
    cache.update(0, *make_rows(cache.config, 0, 0, 3))
    assert repr(cache) == (
        "<KVCache Append(capacity=8) and Circular(window=3, sink_tokens=1, rollback_tokens=0) and"
        " Replace(capacity=5): 3 layers of 1 x 4 and 2 x 8/2 and 3 x 2/6 float16, batch 2, BSHD;"
        " seq_len 0; layer 0: 3 of 8 slots, head at slot 0; 96 bytes of 1.0 KiB>"
    )


# Copies


def test_a_copy_holds_the_same_and_shares_nothing() -> None:
    cache, view = worked()
    copy = cache.copy()
    poison(copy)
    copy.check()
    assert copy.config == cache.config
    assert copy.stats == Stats(0, 0, 0, 0, 0)
    assert (copy.seq_len, copy.room) == (12, None)
    assert copy.positions(0).tolist() == cache.positions(0).tolist()
    for order in ("temporal", "physical"):
        ours, theirs = copy.read(0, order=order), cache.read(0, order=order)
        assert pieces(ours) == pieces(theirs)
    assert not np.shares_memory(copy.rings[0]._keys, cache.rings[0]._keys)
    assert not np.shares_memory(copy.rings[0]._values, cache.rings[0]._values)
    assert numbers(view.keys) == [0, 8, 9, 10, 11]  # still fresh


def test_a_copy_and_its_original_go_their_own_ways() -> None:
    cache, _ = worked()
    copy = cache.copy()
    assert pieces(feed(copy, 3)) == [[0], [9, 10, 11, 12], [13, 14]]
    assert pieces(cache.read(0)) == [[0], [8, 9, 10, 11]]
    cache.truncate(10)
    assert pieces(cache.read(0)) == [[0], [6], [7, 8, 9]]
    assert (copy.seq_len, pieces(copy.read(0))) == (15, [[0], [11, 12], [13, 14]])


def test_a_copy_in_the_middle_of_a_step_is_in_the_middle_of_the_step() -> None:
    cache = make(Append(4), Circular(2))
    feed(cache, 2, layer=0)
    copy = cache.copy()
    assert copy.seq_lens.tolist() == [[2], [0]]
    feed(copy, 2, layer=1)
    assert (copy.seq_len, cache.seq_len) == (2, 0)


# Mixed layers


def test_each_layer_of_a_mixed_cache_keeps_its_own_rules_and_shapes() -> None:
    cache = KVCache(**MIXED)
    for first in (0, 4):
        for layer in range(3):
            position = 0 if layer == 2 else first
            view = cache.update(layer, *make_rows(cache.config, layer, position, 4))
            cache.check()
            poison(cache)
        assert view.positions.tolist() == [0, 1, 2, 3]
    assert cache.seq_lens.tolist() == [[8, 8], [8, 8], [4, 4]]
    assert [cache.positions(layer).tolist() for layer in range(3)] == [
        list(range(8)),
        [0, 5, 6, 7],
        [0, 1, 2, 3],
    ]
    for layer, first, count in ((0, 0, 8), (1, 5, 3), (2, 0, 4)):
        expected = make_rows(cache.config, layer, first, count)
        for found, wanted in zip(cache.read(layer), expected, strict=True):
            assert found[:, -count:].tobytes() == wanted.tobytes()
    assert (cache.seq_len, cache.length, cache.room) == (4, 4, 0)
    assert cache.nbytes == 2 * 2 * (8 * 1 * 8 + 4 * 2 * 10 + 5 * 3 * 8)


def test_a_cache_tells_its_axes() -> None:
    cache = KVCache(**MIXED, layout="BHSD")
    assert (cache.layers, cache.batch, cache.dtype, cache.layout) == (3, 2, np.float16, "BHSD")


def test_the_deepest_cache_can_do_all_that_a_small_one_can() -> None:
    cache = make(*[Append(1)] * MOST_LAYERS)
    cache.truncate(0)
    cache.reset()
    cache.check()
    assert cache.copy().layers == MOST_LAYERS


# Warming up


def test_warm_up_tells_how_far_it_has_come() -> None:
    told: list[tuple[int, int, str]] = []
    warm_up("float16", "int16", "int8", progress=lambda *told_now: told.append(told_now))
    assert [(done, total) for done, total, _ in told] == [(done, 8) for done in range(9)]
    assert [told[at][2] for at in (0, 4, 8)] == ["put_row, 8 bits", "put_row, 16 bits", "done"]


def test_warm_up_compiles_all_that_a_width_needs_and_only_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(
        compiling, "kernel", lambda *args, **options: compiled.append((args, options))
    )
    kvring.warm_up()
    names = ["put_row", "put_rows", "put_rows", "put_assembled"]
    assert [args for args, _ in compiled] == [(name, 4) for name in names]
    assert [options["releases_gil"] for _, options in compiled] == [False, False, True, True]
    with pytest.raises(ConfigError):
        warm_up("float64", "object")
    assert len(compiled) == 4


def test_warm_up_compiles_attention_where_it_is_asked_to_and_where_there_is_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(compiling, "kernel", lambda *args, **options: None)
    monkeypatch.setattr(compiling, "attention_kernel", compiled.append)
    warm_up("float16", "float32", "float64")
    assert compiled == []
    warm_up("float16", "float32", "float64", attention=True)
    assert compiled == ["float32", "float16"]
    with pytest.raises(ConfigError, match="attention: expected one of float32, float16, bfloat16"):
        warm_up("float64", attention=True)


def test_warm_up_compiles_what_eviction_needs_where_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(compiling, "kernel", lambda *args, **options: compiled.append(args))
    warm_up("int8", eviction=True)
    names = ["put_row", *["put_rows"] * 2, "put_assembled", *["put_batch_rows"] * 2]
    weighing = [(name, w) for w in (4, 8) for name in ["sum_by_row", "largest_by_row"]] * 2
    assert sorted(compiled) == sorted([(name, 1) for name in names] + weighing)
