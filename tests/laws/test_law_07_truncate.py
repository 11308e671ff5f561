"""Law 7: truncate drops the newest tokens of all layers or of none."""

import re

import pytest

from kvring import Append, Circular, EvictedError, PositionError, Replace
from tests.by_hand import fed, feed, make, rows, settle, shown

WORKED_EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)


def test_append_mode_goes_back_anywhere():
    for seq_len in range(6):
        cache = fed(Append(9), 5)
        cache.truncate(seq_len)
        settle(cache)
        assert shown(cache.read(0)) == list(range(seq_len))


def test_the_worked_example_goes_back_two_tokens():
    cache = fed(WORKED_EXAMPLE, 12)
    cache.truncate(10)
    settle(cache)
    assert shown(cache.read(0)) == [0, 6, 7, 8, 9]


def test_three_tokens_back_a_position_of_the_window_is_gone():
    cache = fed(WORKED_EXAMPLE, 12)
    with pytest.raises(
        EvictedError,
        match=r"cannot truncate to 9: position 5 is gone \(window 4, rollback_tokens 2\);"
        r" use rollback_tokens >= 3 or reset and refill",
    ):
        cache.truncate(9)
    assert shown(cache.read(0)) == [0, 8, 9, 10, 11]


@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("sink_tokens", [0, 1, 3])
def test_the_rollback_tokens_that_a_refusal_names_are_enough_and_one_less_is_not(
    window, sink_tokens
):
    tokens = 20
    full = fed(Circular(window, sink_tokens), tokens)
    for seq_len in range(sink_tokens + 1, tokens):
        with pytest.raises(EvictedError) as refusal:
            full.truncate(seq_len)
        named = re.search(r"use rollback_tokens >= (\d+) or reset", str(refusal.value))
        enough = int(named.group(1))
        fed(Circular(window, sink_tokens, enough), tokens).truncate(seq_len)
        with pytest.raises(EvictedError):
            fed(Circular(window, sink_tokens, enough - 1), tokens).truncate(seq_len)
    assert full.seq_len == tokens


@pytest.mark.parametrize("seq_len", [0, 1])
def test_to_the_sinks_or_to_nothing_is_always_allowed(seq_len):
    cache = fed(WORKED_EXAMPLE, 12)
    cache.truncate(seq_len)
    settle(cache)
    assert shown(cache.read(0)) == list(range(seq_len))
    assert shown(feed(cache, 3)) == list(range(seq_len + 3))


def test_before_the_first_eviction_any_position_is_allowed():
    for seq_len in range(8):
        cache = fed(WORKED_EXAMPLE, 7)
        cache.truncate(seq_len)
        settle(cache)
        assert cache.seq_len == seq_len


def test_rollback_works_again_as_often_as_new_tokens_refill_it():
    cache = fed(WORKED_EXAMPLE, 12)
    for start in range(12, 30):
        cache.truncate(start - 2)
        settle(cache)
        with pytest.raises(EvictedError):
            cache.truncate(start - 3)
        assert shown(feed(cache, 3)) == [0, *range(start - 5, start + 1)]


def test_a_truncate_that_one_layer_refuses_changes_no_layer():
    cache = fed([Append(20), Circular(3)], 8, layers=2)
    with pytest.raises(EvictedError):
        cache.truncate(7)
    assert cache.seq_lens.tolist() == [[8], [8]]
    assert shown(cache.read(0)) == list(range(8))


@pytest.mark.parametrize("seq_len", [-1, 4, 10**12])
def test_a_position_that_is_not_there_is_refused(seq_len):
    cache = fed(Append(9), 3)
    with pytest.raises(PositionError, match=f"cannot truncate to {seq_len}: expected 0 to 3"):
        cache.truncate(seq_len)
    assert cache.seq_len == 3


def test_a_position_only_some_layers_have_is_refused():
    cache = fed(Append(9), 3, layers=2)
    feed(cache, 1, layer=0)
    with pytest.raises(PositionError, match="expected 0 to 3"):
        cache.truncate(4)
    assert cache.seq_lens.tolist() == [[4], [3]]


def test_a_longer_step_on_a_full_ring_cannot_be_mended():
    cache = fed(WORKED_EXAMPLE, 12, layers=2)
    feed(cache, 3)
    with pytest.raises(EvictedError):
        cache.truncate(cache.seq_len)
    assert cache.seq_lens.tolist() == [[15], [12]]


def test_a_step_cut_short_in_replace_mode_cannot_be_mended():
    cache = make(Replace(4), layers=2)
    for layer in range(2):
        cache.update(layer, *rows(0, 2))
    cache.update(0, *rows(7, 9))
    cache.truncate(cache.seq_len)
    keys = [cache.read(layer).keys.ravel().tolist() for layer in range(2)]
    assert keys == [[7, 8], [0, 1]], "the rows before are gone"


@pytest.mark.parametrize(
    ("mode", "before", "tokens"),
    [(Append(9), 4, 3), (WORKED_EXAMPLE, 3, 4), (WORKED_EXAMPLE, 12, 2)],
    ids=str,
)
def test_truncate_to_seq_len_mends_a_step_cut_short_between_layers(mode, before, tokens):
    cache, whole = fed(mode, before, layers=3), fed(mode, before, layers=3)
    for layer in range(2):
        feed(cache, tokens, layer=layer)
    assert cache.seq_len == before
    cache.truncate(cache.seq_len)
    settle(cache)
    for layer in range(3):
        again = feed(cache, tokens, layer=layer)
        assert shown(again) == shown(feed(whole, tokens, layer=layer))
