"""Wrong calls where batch rows go apart: the class, the whole message, and nothing changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import (
    FIFO,
    Append,
    CapacityError,
    ConfigError,
    DTypeError,
    EvictedError,
    KVCache,
    PositionError,
    ShapeError,
)
from tests.cache.test_errors import refused
from tests.cache.wrong_calls import Call, Wrong, on_calls, rows
from tests.support import WORKED_EXAMPLE


def filled(strategy: Any, *counts: int) -> KVCache:
    """Two layers of three batch rows that have seen so many tokens."""
    cache = KVCache(layers=2, kv_heads=1, head_dim=1, batch=3, strategy=strategy)
    given = rows(3, max(counts), 1, 1)
    for layer in range(2):
        cache.update(layer, given, -given, token_counts=counts)
    return cache


def alike() -> KVCache:
    return filled(Append(8), 3, 3, 3)


def ragged() -> KVCache:
    return filled(Append(8), 6, 3, 0)


def worked() -> KVCache:
    return filled(WORKED_EXAMPLE, 12, 3, 9)


def replaced() -> KVCache:
    cache = filled(Append(2, eviction=FIFO()), 2, 1, 0)
    cache.update(0, rows(3, 1, 1, 1), rows(3, 1, 1, 1), token_counts=[1, 0, 1])
    return cache


T2 = rows(3, 2, 1, 1)


def counting(*counts: Any, **options: Any) -> tuple[Call, ...]:
    """Updates of two tokens with each of these counts."""
    return tuple(
        lambda cache, given=given: cache.update(0, T2, T2, token_counts=given, **options)
        for given in counts
    )


def truncating(*targets: Any) -> tuple[Call, ...]:
    return tuple(lambda cache, target=target: cache.truncate(target) for target in targets)


ONE_EACH = "token_counts: expected 3, one per batch row, got {}"
RANGE = "token_counts: expected 0 to 2 tokens of batch row {}, got {}"
AN_INT = "token_counts: expected an int, got {}"
A_LIST = "token_counts: expected a list of int, got {}"
SIDE = "padding: expected 'right' or 'left', got {!r}"
COUNTS = {
    **on_calls(alike, ShapeError, ONE_EACH.format(2), *counting([1, 1], (1, 1), np.array([1, 1]))),
    **on_calls(alike, ShapeError, ONE_EACH.format(4), *counting([1, 1, 1, 1], range(4))),
    **on_calls(alike, ShapeError, ONE_EACH.format(0), *counting([], np.array([], int))),
    **on_calls(
        alike,
        ShapeError,
        "token_counts: expected shape (3,), got (3, 1)",
        *counting(np.ones((3, 1), int)),
    ),
    **on_calls(
        alike, ShapeError, "token_counts: expected shape (3,), got ()", *counting(np.array(1))
    ),
    **on_calls(alike, ShapeError, RANGE.format(1, -1), *counting([1, -1, 1], np.array([1, -1, 1]))),
    **on_calls(alike, ShapeError, RANGE.format(2, 3), *counting([1, 1, 3], padding="left")),
    **on_calls(ragged, ShapeError, RANGE.format(0, 3), *counting([3, 0, 0], order="physical")),
    **on_calls(alike, DTypeError, AN_INT.format("True (bool)"), *counting([1, True, 1])),
    **on_calls(alike, DTypeError, AN_INT.format("1.0 (float)"), *counting([1, 1.0, 1])),
    **on_calls(alike, DTypeError, AN_INT.format("None (NoneType)"), *counting([1, None, 1])),
    **on_calls(alike, DTypeError, AN_INT.format("[1] (list)"), *counting([[1], [1], [1]])),
    **on_calls(
        alike,
        DTypeError,
        "token_counts: expected an array of ints, got float64",
        *counting(np.ones(3)),
    ),
    **on_calls(
        alike,
        DTypeError,
        "token_counts: expected an array of ints, got bool",
        *counting(np.ones(3, bool)),
    ),
    **on_calls(alike, DTypeError, A_LIST.format("2"), *counting(2)),
    **on_calls(alike, DTypeError, A_LIST.format("'111'"), *counting("111")),
    **on_calls(
        alike, ConfigError, SIDE.format("centre"), *counting([1, 1, 1], None, padding="centre")
    ),
    **on_calls(alike, DTypeError, SIDE.format(None), *counting([1, 1, 1], None, padding=None)),
    **on_calls(
        alike,
        ShapeError,
        "seq_len and token_counts: expected one of them, got both",
        *counting([2, 2, 2], seq_len=5),
    ),
    **on_calls(
        alike,
        ShapeError,
        "keys: expected batch=3 on axis 0, got 2",
        lambda cache: cache.update(0, T2[:2], T2, token_counts=[1, 1, 1]),
    ),
}
FULL = (
    "batch row {}: cannot append {} tokens: {} of capacity 8 are taken, {} free; truncate, reset,"
    " or use a larger capacity or Circular"
)
MORE = rows(3, 3, 1, 1)
CAPACITY = {
    **on_calls(
        ragged,
        CapacityError,
        FULL.format(0, 3, 6, 2),
        lambda cache: cache.update(0, MORE, MORE),
        lambda cache: cache.update(0, MORE, MORE, token_counts=[3, 0, 0]),
        lambda cache: cache.update(0, MORE, MORE, token_counts=[3, 3, 3], padding="left"),
    ),
}
TARGET = "cannot truncate batch row {} to {}: expected 0 to {}, the seq_len of the shortest layer"
TRUNCATE = {
    **on_calls(ragged, PositionError, TARGET.format(1, 4, 3), *truncating([6, 4, 0], [1, 4, 9])),
    **on_calls(ragged, PositionError, TARGET.format(2, -1, 0), *truncating([6, 3, -1])),
    **on_calls(ragged, PositionError, TARGET.format(2, 3, 0), *truncating(3)),
    **on_calls(
        ragged, ShapeError, "seq_len: expected 3, one per batch row, got 1", *truncating([1])
    ),
    **on_calls(
        ragged,
        ShapeError,
        "seq_len: expected shape (3,), got (1, 3)",
        *truncating(np.ones((1, 3), int)),
    ),
    **on_calls(
        ragged, DTypeError, "seq_len: expected an int, got '1' (str)", *truncating("1", ["1", 1, 1])
    ),
    **on_calls(
        worked,
        EvictedError,
        "batch row 0: cannot truncate to 9: position 5 is gone (window 4, rollback_tokens 2); use"
        " rollback_tokens >= 3 or reset and refill",
        *truncating([9, 3, 9]),
    ),
    **on_calls(
        replaced,
        PositionError,
        TARGET.format(2, 1, 0),
        *truncating([2, 1, 1]),
    ),
}
TOTALS = {
    **on_calls(
        ragged,
        ShapeError,
        "seq_len=7: batch rows differ, seq_lens are [6, 3, 0]; use token_counts",
        lambda cache: cache.update(0, T2, T2, seq_len=7),
    ),
}
EVERY = COUNTS | CAPACITY | TRUNCATE | TOTALS


@pytest.mark.parametrize("wrong", EVERY.values(), ids=EVERY)
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(wrong: Wrong) -> None:
    cache = wrong.make()
    with refused(cache, wrong.error, wrong.message):
        wrong.call(cache)


@pytest.mark.parametrize("wrong", EVERY.values(), ids=EVERY)
def test_after_a_wrong_call_the_right_one_works(wrong: Wrong) -> None:
    cache = wrong.make()
    before = cache.seq_lens[0]
    with pytest.raises(wrong.error):
        wrong.call(cache)
    view = cache.update(0, -T2[:, :1], T2[:, :1], token_counts=[1, 0, 1])
    cache.check()
    assert cache.seq_lens[0].tolist() == [before[0] + 1, before[1], before[2] + 1]
    assert view.batch_row(2).keys[0, -1, 0, 0] == -T2[2, 0, 0, 0]


def test_facts_that_all_batch_rows_share_are_refused_where_they_differ() -> None:
    cache = ragged()
    with refused(
        cache, ShapeError, "seq_len: batch rows differ; use seq_lens, [[6, 3, 0], [6, 3, 0]]"
    ):
        _ = cache.seq_len
    for name in ("head", "length"):
        message = f"{name}: batch rows differ; use cache.lengths and cache.slots(layer)"
        with refused(cache, ShapeError, message):
            getattr(cache.rings[0], name)
    assert "seq_lens [6, 3, 0]; layer 0: 6, 3, 0 of 8 slots in its batch rows" in repr(cache)
    assert "6, 3, 0 of 8 slots" in repr(cache.rings[0])


@pytest.mark.parametrize(
    ("error", "number", "message"),
    [
        (ShapeError, 3, "batch_row: expected 0 to 2, got 3"),
        (ShapeError, -1, "batch_row: expected 0 to 2, got -1"),
        (DTypeError, True, "batch_row: expected an int, got True (bool)"),
        (DTypeError, 0.0, "batch_row: expected an int, got 0.0 (float)"),
    ],
)
def test_a_view_has_the_batch_rows_of_its_cache_and_no_others(
    error: Any, number: Any, message: str
) -> None:
    cache = ragged()
    for view in (cache.read(0), cache.read(0).copy()):
        with refused(cache, error, message):
            view.batch_row(number)
    part = cache.read(0).batch_row(1)
    with refused(cache, ShapeError, "batch_row: expected 0 to 0, got 1"):
        part.batch_row(1)
