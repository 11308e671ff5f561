"""Batch rows of the reference go on their own (law 11): small cases worked out by hand.

Random calls are in ``test_reference_surgery.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kvring.config import Append, Circular, Mode, Replace
from kvring.errors import (
    CapacityError,
    ConfigError,
    DTypeError,
    EvictedError,
    KVRingError,
    PositionError,
    ShapeError,
)
from kvring.reference import ReferenceCache, ReferenceView
from tests.support import WORKED_EXAMPLE, make_reference


def state(cache: ReferenceCache) -> list[Any]:
    """All that a refused call must leave as it was."""
    layers, batch = range(len(cache.config.layers)), range(cache.config.batch)
    held = [[(cache.positions(n, b), cache.rows(n, b)) for b in batch] for n in layers]
    return [cache.config, cache.seq_lens, cache.lengths, held]


def ragged(*prompts: str, strategy: Mode) -> ReferenceCache:
    """A reference of one layer, with one prompt per batch row."""
    cache = make_reference(strategy, batch=len(prompts))
    longest = max(map(len, prompts))
    padded = [list(prompt.ljust(longest, ".")) for prompt in prompts]
    cache.update(0, padded, token_counts=[len(prompt) for prompt in prompts])
    return cache


def rows_of(cache: ReferenceCache) -> list[str]:
    """What the layer holds, one text per batch row."""
    return ["".join(cache.rows(0, b)) for b in range(cache.config.batch)]


# Updates


@pytest.mark.parametrize(
    ("padding", "held"), [("right", ["abc", "d", ""]), ("left", ["abc", "f", ""])]
)
def test_the_first_or_the_last_rows_are_real(padding: Any, held: list[str]) -> None:
    cache = make_reference(Append(5), batch=3)
    rows = [list("abc"), list("def"), list("ghi")]
    view = cache.update(0, rows, token_counts=[3, 1, 0], padding=padding)
    assert rows_of(cache) == held
    assert cache.seq_lens == cache.lengths == [[3, 1, 0]]
    assert [view.batch_row(b).positions for b in range(3)] == [[0, 1, 2], [0], []]
    assert view.batch_row(1).mask() == [[True]]


def test_a_view_stands_for_batch_row_0_and_has_the_others_without_padding() -> None:
    cache = ragged("abcd", "ab", strategy=Circular(window=2))
    view = cache.update(0, [list("ef"), list("c.")], token_counts=[2, 1])
    assert (view.positions, view.evicted) == ([3, 4, 5], [2, 3])
    assert view.mask() == [[True, True, False], [False, True, True]]
    assert view.batch_row(0) == ReferenceView(view.visible, view.evicted)
    assert view.batch_row(1) == ReferenceView([[(1, "b"), (2, "c")]], [0])


def test_positions_and_sinks_count_real_tokens_of_each_batch_row() -> None:
    strategy = Circular(window=1, sink_tokens=2)
    cache = make_reference(strategy, batch=2)
    cache.update(0, [["a", "b"], ["-", "p"]], token_counts=[2, 1], padding="left")
    cache.update(0, [["c", "d"], ["q", "r"]], token_counts=[2, 2])
    assert rows_of(cache) == ["abd", "pqr"]
    assert [cache.positions(0, b) for b in range(2)] == [[0, 1, 3], [0, 1, 2]]


@pytest.mark.parametrize("strategy", [Append(9), WORKED_EXAMPLE])
def test_a_batch_row_of_no_tokens_stays_as_it_is(strategy: Mode) -> None:
    cache = ragged("abc", "de", strategy=strategy)
    view = cache.update(0, [["x"], ["y"]], token_counts=[0, 1])
    assert rows_of(cache) == ["abc", "dey"]
    assert view.visible == view.positions == []
    assert cache.read(0).rows == ["a", "b", "c"]


def test_replace_mode_empties_a_batch_row_of_no_tokens() -> None:
    cache = ragged("abc", "de", strategy=Replace(4))
    view = cache.update(0, [["x"], ["y"]], token_counts=[0, 1])
    assert rows_of(cache) == ["", "y"]
    assert (view.batch_row(0).visible, view.batch_row(1).positions) == ([], [0])


def test_an_update_for_all_batch_rows_goes_on_from_where_each_of_them_is() -> None:
    cache = ragged("abc", "", strategy=Append(9))
    view = cache.update(0, ["x", "y"])
    assert rows_of(cache) == ["abcxy", "xy"]
    assert [view.batch_row(b).positions for b in range(2)] == [[0, 1, 2, 3, 4], [0, 1]]


def test_read_shows_the_newest_token_of_each_batch_row() -> None:
    view = ragged("abcd", "xy", "", strategy=Circular(window=3)).read(0)
    assert [view.batch_row(b).rows for b in range(3)] == [["b", "c", "d"], ["x", "y"], []]
    assert [view.batch_row(b).mask() for b in (1, 2)] == [[[True, True]], [[]]]


def test_a_batch_row_without_room_refuses_the_update_of_all() -> None:
    cache = ragged("a", "bcd", strategy=Append(4))
    before = state(cache)
    assert cache.room == 1
    for counts in (None, [0, 2]):
        rows = list("xy") if counts is None else [list("xy")] * 2
        with pytest.raises(CapacityError, match="batch row 1: expected at most 1 rows, got 2"):
            cache.update(0, rows, token_counts=counts)
    assert state(cache) == before
    cache.update(0, [list("xyz"), list("x..")], token_counts=[3, 1])
    assert cache.room == 0


def test_padding_needs_no_room() -> None:
    cache = make_reference(Append(2), batch=2)
    cache.update(0, [list("abcde")] * 2, token_counts=[1, 2], padding="left")
    assert rows_of(cache) == ["e", "de"]


# Counters


def test_seq_len_is_refused_where_batch_rows_differ() -> None:
    cache = ragged("abc", "de", strategy=Append(9))
    with pytest.raises(ShapeError, match="seq_lens"):
        _ = cache.seq_len
    assert cache.length == 2
    cache.truncate(2)
    assert cache.seq_len == 2


def test_seq_len_stays_the_first_position_in_flight_during_a_ragged_step() -> None:
    cache = make_reference(Append(9), Append(9), batch=2)
    cache.update(0, [list("abc")] * 2, token_counts=[3, 1])
    assert cache.seq_lens == [[3, 1], [0, 0]]
    assert cache.seq_len == 0


# The seq_len= form


def test_seq_len_is_refused_where_the_batch_rows_of_the_layer_differ() -> None:
    cache = ragged("abc", "de", strategy=Append(9))
    before = state(cache)
    for rows, seq_len in (([], 2), ([], 3), (["x"], 4), (list("abcx"), 4)):
        with pytest.raises(ShapeError, match="seq_lens"):
            cache.update(0, rows, seq_len=seq_len)
    assert state(cache) == before


def test_seq_len_in_replace_mode_asks_nothing_of_what_was_there() -> None:
    cache = ragged("abc", "de", strategy=Replace(9))
    cache.update(0, ["x"], seq_len=1)
    assert rows_of(cache) == ["x", "x"]


def test_seq_len_and_token_counts_do_not_go_together() -> None:
    cache = make_reference(Append(9), batch=2)
    with pytest.raises(ShapeError, match="seq_len and token_counts"):
        cache.update(0, [["a"], ["b"]], seq_len=1, token_counts=[1, 1])
    assert cache.seq_len == 0


# Truncate


def test_truncate_takes_one_target_for_each_batch_row() -> None:
    cache = ragged("abc", "de", "fghi", strategy=Append(9))
    cache.truncate([2, 2, 0])
    assert rows_of(cache) == ["ab", "de", ""]
    cache.update(0, ["x"])
    assert cache.seq_lens == [[3, 3, 1]]


def test_truncate_to_one_target_needs_it_in_every_batch_row() -> None:
    cache = ragged("abc", "de", strategy=Append(9))
    before = state(cache)
    for target in (3, [3, 3], [4, 2], [3, -1]):
        with pytest.raises(PositionError):
            cache.truncate(target)
    assert state(cache) == before


def test_truncate_finds_the_smallest_layer_of_each_batch_row() -> None:
    cache = make_reference(Append(9), Append(9), batch=2)
    cache.update(0, [list("abc")] * 2, token_counts=[3, 1])
    cache.update(1, [list("abc")] * 2, token_counts=[1, 3])
    with pytest.raises(PositionError):
        cache.truncate([2, 1])
    cache.truncate([1, 1])
    assert cache.seq_lens == [[1, 1], [1, 1]]


def test_truncate_is_refused_for_all_where_one_batch_row_has_lost_its_window() -> None:
    cache = ragged("abc", "abcdef", strategy=Circular(window=3))
    before = state(cache)
    with pytest.raises(EvictedError, match="position 2 of layer 0 is gone in batch row 1"):
        cache.truncate([2, 5])
    assert state(cache) == before
    cache.truncate([2, 0])
    assert rows_of(cache) == ["ab", ""]


# Wrong arguments


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[1])),
        (ShapeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[1, 1, 1])),
        (ShapeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[1, 2])),
        (ShapeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[-1, 1])),
        (ShapeError, lambda c: c.update(0, [["a"], ["b", "c"]], token_counts=[1, 1])),
        (ShapeError, lambda c: c.update(0, [["a"]], token_counts=[1, 1])),
        (ShapeError, lambda c: c.update(0, [["a"]] * 3, token_counts=[1, 1])),
        (DTypeError, lambda c: c.update(0, ["a", "b"], token_counts=[1, 1])),
        (DTypeError, lambda c: c.update(0, [1, 2], token_counts=[1, 1])),
        (DTypeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=1)),
        (DTypeError, lambda c: c.update(0, [["a"], ["b"]], token_counts="11")),
        (DTypeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[True, 1])),
        (DTypeError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[1.0, 1])),
        (ConfigError, lambda c: c.update(0, ["a"], padding="centre")),
        (ConfigError, lambda c: c.update(0, [["a"], ["b"]], token_counts=[1, 1], padding="")),
        (DTypeError, lambda c: c.update(0, ["a"], padding=None)),
        (ShapeError, lambda c: c.truncate([1])),
        (ShapeError, lambda c: c.truncate([1, 1, 1])),
        (DTypeError, lambda c: c.truncate([1, True])),
        (DTypeError, lambda c: c.truncate([1, 1.0])),
        (DTypeError, lambda c: c.truncate("11")),
    ],
)
def test_a_wrong_argument_is_refused_and_changes_nothing(
    error: type[KVRingError], call: Callable[[Any], Any]
) -> None:
    cache = ragged("xy", "z", strategy=Append(9))
    before = state(cache)
    with pytest.raises(KVRingError) as caught:
        call(cache)
    assert type(caught.value) is error
    assert state(cache) == before
