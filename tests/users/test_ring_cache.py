"""RingCache as an object: what it shares, counts, refuses, and how it follows a batch."""

import copy

import numpy as np
import pytest
import torch

from kvring import CapacityError, ConfigError, DTypeError, EvictedError, KVRingError, ShapeError
from tests.users.tiny import WINDOW, dynamic, feed, generated, model, ring, rows, run, tokens

HALVES = [torch.float32, torch.bfloat16, torch.float16]


def memory(rings, layer):
    """Where the keys of a layer begin and end."""
    start = rings.rings[layer].keys_shown.ctypes.data
    return start, start + rings.rings[layer].keys_shown.nbytes


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("name", "counts"), [("Llama", (5, 1, 1)), ("Mistral", (5, 1, 3, 1, 3))])
def test_what_update_returns_is_the_memory_of_the_ring(name, counts, dtype):
    cache = ring(model(name, "sdpa"), rollback_tokens=3)
    keys, values = feed(cache, counts, dtype=dtype)
    start, stop = memory(cache.rings, 3)
    assert start <= keys.data_ptr() < stop
    assert keys.dtype == values.dtype == dtype
    assert cache.rings.stats.rows_gathered == cache.rings.stats.rows_assembled == 0


def test_rows_go_in_bit_for_bit():
    cache = ring(model("Llama", "sdpa"))
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    every = bits.view(torch.bfloat16).reshape(1, 2, -1, 256)  # all there are, NaNs too
    keys, values = cache.update(every, every, 0)
    assert keys.view(torch.int16).equal(every.view(torch.int16))
    assert values.view(torch.int16).equal(every.view(torch.int16))


def test_a_decode_step_of_our_attention_copies_no_rows():
    ours = model("Gemma 3", "kvring")
    cache = ring(ours, rollback_tokens=2)
    generated(ours, cache, tokens(6), count=40)
    assert cache.rings.stats.rows_gathered == cache.rings.stats.rows_assembled == 0


def test_layers_of_transformers_show_the_same_rows():
    first, second = model("Gemma 3", "sdpa"), model("Gemma 3", "sdpa")
    caches = dynamic(first), ring(second)
    ids = tokens(30)
    run(first, caches[0], ids)
    run(second, caches[1], ids)
    assert caches[1].is_sliding == caches[0].is_sliding
    for theirs, ours in zip(caches[0].layers, caches[1].layers, strict=True):
        assert ours.get_seq_length() == theirs.get_seq_length() == 30
        kept = WINDOW - 1 if ours.is_sliding else 30  # theirs holds what the next query sees
        assert torch.allclose(ours.keys[:, :, -kept:], theirs.keys, atol=1e-5)
        assert torch.allclose(ours.values[:, :, -kept:], theirs.values, atol=1e-5)


def test_layers_know_what_transformers_asks_of_them():
    cache = ring(model("Gemma 3", "sdpa"), capacity=100)
    sliding, full = cache.layers[:2]
    assert (sliding.get_max_length(), full.get_max_length()) == (WINDOW, 100)
    assert not sliding.is_initialized
    assert sliding.keys is None is sliding.values
    sliding.lazy_initialization(*rows(0))
    assert sliding.is_initialized
    sliding.update(*rows(2))
    full.update(*rows(2))
    assert full.get_mask_sizes(3) == (5, 0)
    with pytest.raises(KVRingError, match="change together"):
        full.crop(-1)
    del cache
    with pytest.raises(KVRingError, match="is gone"):
        full.get_seq_length()


def test_reset_lets_another_batch_and_dtype_come():
    cache = ring(model("Llama", "sdpa"))
    feed(cache, [5], batch=3)
    rings = cache.rings
    cache.reset()
    assert cache.get_seq_length() == 0
    feed(cache, [2], batch=3)
    assert cache.rings is rings  # the same memory, where it fits
    cache.reset()
    keys, _ = feed(cache, [4], batch=2, dtype=torch.float16)
    assert (keys.shape[0], cache.batch_size, cache.get_seq_length()) == (2, 2, 4)


def test_another_batch_in_the_middle_is_refused_and_changes_nothing():
    cache = ring(model("Llama", "sdpa"))
    feed(cache, [5])
    with pytest.raises(ShapeError, match="batch=1"):
        cache.update(*rows(1, batch=2), 0)
    with pytest.raises(DTypeError, match="float32"):
        cache.update(*rows(1, dtype=torch.float16), 0)
    assert cache.rings.seq_lens.ravel().tolist() == [5] * 4


def test_crop_counts_back_or_says_what_to_keep():
    cache = ring(model("Llama", "sdpa"))
    cache.crop(-3)
    feed(cache, [10])
    for tokens_to_remove, left in ((0, 10), (-2, 8), (20, 8), (5, 5), (-9, 0)):
        cache.crop(tokens_to_remove)
        assert cache.get_seq_length() == left


def test_crop_beyond_the_rollback_of_a_wrapped_ring_is_refused_whole():
    cache = ring(model("Gemma 3", "sdpa"), rollback_tokens=4)
    feed(cache, [30])
    with pytest.raises(EvictedError, match="use rollback_tokens >= 5"):
        cache.crop(-5)
    assert cache.rings.seq_lens.ravel().tolist() == [30] * 4
    cache.crop(-4)
    assert cache.get_seq_length() == 26


@pytest.mark.parametrize("begun", [0, 60])
def test_a_cache_that_expects_drafts_has_room_for_them(begun):
    cache = ring(model("Gemma 3", "sdpa"), rollback_tokens=4, capacity=1000)
    if begun:
        feed(cache, [begun])
    cache.activate_past_recording()
    feed(cache, [300 - begun, 100])
    cache.crop(-100)
    assert cache.get_seq_length() == 300
    for count in (40, 100, 100, 1):  # as a draft model that runs on: no crop in between
        for layer in (0, 1):
            cache.get_mask_sizes(count, layer)
        feed(cache, [count])
    cache.crop(-241)
    assert cache.get_seq_length() == 300
    cache.rings.check()


def test_batch_rows_are_selected_repeated_and_reordered():
    cache, usual = ring(model("Llama", "sdpa")), dynamic(model("Llama", "sdpa"))
    for change in ("batch_select_indices", "batch_repeat_interleave", "reorder_cache"):
        getattr(cache, change)(torch.tensor([0]))  # nothing there yet, nothing to do
    for count in (4, 1):
        for layer in range(4):
            given = rows(count, batch=3)
            usual.update(*given, layer)
            cache.update(*given, layer)
    for change, argument in (
        ("batch_select_indices", torch.tensor([2, 0])),
        ("batch_repeat_interleave", 3),
        ("reorder_cache", torch.tensor([5, 5, 0, 1, 2, 3])),
        ("batch_select_indices", torch.tensor([True, False, True, True, False, False])),
    ):
        getattr(cache, change)(argument)
        getattr(usual, change)(argument)
        assert cache.batch_size == usual.layers[0].keys.shape[0]
        for layer in range(4):
            assert cache.layers[layer].keys.equal(usual.layers[layer].keys)
            assert cache.layers[layer].values.equal(usual.layers[layer].values)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_goes_its_own_way(copied):
    ours, ids = model("Mistral", "kvring"), tokens(20)
    assert copied(ring(ours)).rings is None
    cache = ring(ours)
    run(ours, cache, ids)
    twin = copied(cache)
    first = run(ours, cache, ids[:, :1])
    assert (cache.get_seq_length(), twin.get_seq_length()) == (21, 20)
    assert run(ours, twin, ids[:, :1]).equal(first)
    twin.reset()
    assert cache.layers[0].get_seq_length() == 21
    assert twin.layers[0].get_seq_length() == 0


def test_more_tokens_than_reserved_are_refused_before_anything_is_written():
    ours = model("Llama", "sdpa")
    cache = ring(ours, capacity=10)
    run(ours, cache, tokens(8))
    with pytest.raises(CapacityError, match="cannot append 3 tokens"):
        run(ours, cache, tokens(3))
    assert cache.rings.seq_lens.ravel().tolist() == [8] * 4
    empty = ring(ours, capacity=10)
    with pytest.raises(CapacityError, match="cannot append 11 tokens"):
        empty.update(*rows(11), 0)
    empty.update(*rows(2, batch=2), 0)  # nothing has been settled by the refused one


def test_what_is_not_on_the_cpu_or_no_float_is_refused():
    cache = ring(model("Llama", "sdpa"))
    with pytest.raises(ConfigError, match="expected tensors on the CPU, got meta"):
        cache.update(*(torch.empty(1, 2, 1, 8, device="meta"),) * 2, 0)
    with pytest.raises(DTypeError, match=r"expected keys and values of float32, .*got torch.int64"):
        cache.update(*(torch.ones(1, 2, 1, 8, dtype=torch.int64),) * 2, 0)


def test_gradients_do_not_flow_through_the_cache_and_nothing_else_is_lost():
    ours, ids = model("Mistral", "kvring"), tokens(12)
    expected = run(ours, ring(ours), ids)
    with torch.enable_grad():
        found = run(ours, ring(ours), ids)
        found.sum().backward()
    assert torch.allclose(found, expected, atol=1e-4)


def test_early_initialization_reserves_what_it_is_told():
    cache = ring(model("Llama", "sdpa"))
    cache.early_initialization(3, 2, 8, torch.float16, torch.device("cpu"))
    assert (cache.batch_size, cache.rings.dtype) == (3, np.float16)
