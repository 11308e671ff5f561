"""Every wrong call: the right class, the whole message, and a cache that is as it was before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as replace_field
from typing import Any

import numpy as np
import pytest

import kvring
from kvring import (
    CapacityError,
    DTypeError,
    EvictedError,
    KVCache,
    KVRingError,
    PositionError,
    ShapeError,
    StaleViewError,
)
from kvring.rows import states_of
from tests.cache.wrong_calls import (
    ARGUMENTS,
    ONE,
    Call,
    Wrong,
    append,
    on_calls,
    replace,
    tokens,
    worked,
)
from tests.support import poison, token_axis

BUILT_IN: dict[str, type[Exception]] = {
    "BudgetError": MemoryError,
    "CapacityError": OverflowError,
    "ConfigError": ValueError,
    "DTypeError": TypeError,
    "EvictedError": IndexError,
    "KVRingError": Exception,
    "LayerError": IndexError,
    "LeaseError": TimeoutError,
    "LockError": RuntimeError,
    "PolicyError": ValueError,
    "PositionError": IndexError,
    "ShapeError": ValueError,
    "SnapshotError": ValueError,
    "StaleViewError": RuntimeError,
}


def picture(cache: KVCache) -> list[Any]:
    """All that a refused call must leave as it was, down to the bytes of slots not in use."""
    layers = range(cache.layers)
    reads = [cache.read(layer, order=o) for layer in layers for o in ("temporal", "physical")]
    stats = replace_field(cache.stats, rows_gathered=0)  # looking at ragged rows gathers them
    return [
        [cache.seq_lens.tolist(), cache.lengths.tolist(), cache.room, stats],
        [(cache.positions(layer).tolist(), cache.slots(layer).tolist()) for layer in layers],
        [(keys.tobytes(), values.tobytes()) for view in reads for keys, values in view.segments],
        [
            (
                [of.head for of in states_of(ring.state)],
                ring._keys.tobytes(),
                ring._values.tobytes(),
            )
            for ring in cache.rings
        ],
    ]


@contextmanager
def refused(cache: KVCache, error: type[KVRingError], message: str) -> Iterator[None]:
    """The block raises `error` with exactly `message`, and changes nothing."""
    poison(cache)
    before = picture(cache)
    views = [cache.read(layer) for layer in range(cache.layers)]
    with pytest.raises(KVRingError) as caught:
        yield
    assert (type(caught.value), str(caught.value)) == (error, message)
    cache.check()
    assert picture(cache) == before
    axis = token_axis(cache.layout)
    for view in views:  # raises StaleViewError if they are
        assert view.positions.shape[-1] == sum(keys.shape[axis] for keys, _ in view.segments)


def truncating(*seq_lens: Any) -> tuple[Call, ...]:
    return tuple(lambda cache, n=n: cache.truncate(n) for n in seq_lens)


def to_total(seq_len: Any, count: int, layer: int = 0) -> Call:
    """The ``seq_len=`` form with so many rows."""
    return lambda cache: cache.update(layer, tokens(count), tokens(count), seq_len=seq_len)


FULL = (
    "cannot append {} tokens: 3 of capacity 4 are taken, 1 free; truncate, reset, or use a larger"
    " capacity or Circular"
)
TOO_MANY = "cannot hold 5 rows: the capacity is 4; bring fewer rows or use a larger capacity"
CAPACITY = {
    **on_calls(append, CapacityError, FULL.format(2), lambda c: c.update(1, tokens(2), tokens(2))),
    **on_calls(
        append,
        CapacityError,
        FULL.format(3),
        lambda c: c.update(0, tokens(3), tokens(3), order="physical"),
        to_total(6, count=3),
        to_total(6, count=6),
    ),
    **on_calls(
        replace,
        CapacityError,
        TOO_MANY,
        lambda c: c.update(0, tokens(5), tokens(5)),
        to_total(5, count=5, layer=1),
    ),
}

RANGE = "cannot truncate to {}: expected 0 to {}, the seq_len of the shortest layer"
GONE = (
    "cannot truncate to {}: position {} is gone (window 4, rollback_tokens 2); use rollback_tokens"
    " >= {} or reset and refill"
)
AN_INT = "seq_len: expected an int, got {}"
TRUNCATE = {
    **on_calls(worked, PositionError, RANGE.format(-1, 12), *truncating(-1), to_total(-1, 0)),
    **on_calls(worked, PositionError, RANGE.format(13, 12), *truncating(13)),
    **on_calls(replace, PositionError, RANGE.format(1, 0), *truncating(1)),
    **on_calls(worked, EvictedError, GONE.format(9, 5, 3), *truncating(9), to_total(9, 0)),
    **on_calls(worked, EvictedError, GONE.format(2, 1, 7), *truncating(2), to_total(2, 0)),
    **on_calls(
        worked, DTypeError, AN_INT.format("1.0 (float)"), *truncating(1.0), to_total(1.0, 0)
    ),
    **on_calls(
        worked, DTypeError, AN_INT.format("True (bool)"), *truncating(True), to_total(True, 1)
    ),
    **on_calls(worked, DTypeError, AN_INT.format("'1' (str)"), *truncating("1"), to_total("1", 1)),
    **on_calls(worked, DTypeError, AN_INT.format("None (NoneType)"), *truncating(None)),
    **on_calls(worked, DTypeError, AN_INT.format("1.0 (float)"), *truncating([1.0])),
    **on_calls(
        worked,
        ShapeError,
        "seq_len: expected 1, one per batch row, got 2",
        *truncating([1, 2], (1, 1), np.array([1, 2])),
    ),
}

DROP = (
    "seq_len={} would drop {} of 12 tokens; it is the total, not the chunk; to drop tokens call"
    " truncate({})"
)
NEITHER = "seq_len={} after 12 tokens: expected {} rows (the new ones, or the full history), got {}"
ANEW = "seq_len={} with {} rows: replace mode takes all rows anew; expected {} rows"
TOTALS = {
    **on_calls(worked, ShapeError, DROP.format(1, 11, 1), to_total(1, 1)),
    **on_calls(worked, ShapeError, DROP.format(11, 1, 11), to_total(11, 11)),
    **on_calls(worked, ShapeError, NEITHER.format(20, "8 or 20", 3), to_total(20, 3)),
    **on_calls(worked, ShapeError, NEITHER.format(13, "1 or 13", 0), to_total(13, 0)),
    **on_calls(worked, ShapeError, NEITHER.format(12, "0 or 12", 1), to_total(12, 1)),
    **on_calls(replace, ShapeError, ANEW.format(3, 2, 3), to_total(3, 2)),
    **on_calls(replace, ShapeError, ANEW.format(2, 0, 2), to_total(2, 0)),
    **on_calls(replace, ShapeError, ANEW.format(4, 1, 4), to_total(4, 1)),
}

BELONGS = "this ring belongs to a cache, which decides what it holds; use "
RINGS = {
    **on_calls(
        append,
        KVRingError,
        BELONGS + "cache.update(layer, keys, values)",
        lambda cache: cache.rings[0].append(ONE, ONE),
    ),
    **on_calls(
        append, KVRingError, BELONGS + "cache.reset()", lambda cache: cache.rings[0].clear()
    ),
    **on_calls(
        append,
        KVRingError,
        BELONGS + "cache.read(layer).segments",
        lambda cache: cache.rings[1].segments,
    ),
}
EVERY = ARGUMENTS | CAPACITY | TRUNCATE | TOTALS | RINGS


@pytest.mark.parametrize("wrong", EVERY.values(), ids=EVERY)
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(wrong: Wrong) -> None:
    cache = wrong.make()
    cache.check()
    with refused(cache, wrong.error, wrong.message):
        wrong.call(cache)


@pytest.mark.parametrize("wrong", EVERY.values(), ids=EVERY)
def test_after_a_wrong_call_the_right_one_works(wrong: Wrong) -> None:
    cache = wrong.make()
    with pytest.raises(wrong.error):
        wrong.call(cache)
    one_row = (slice(None),) * token_axis(cache.layout) + (slice(0, 1),)
    keys, values = (
        stored[one_row].copy() for stored in (cache.rings[0]._keys, cache.rings[0]._values)
    )
    position = 0 if wrong.make is replace else int(cache.seq_lens[0, 0])
    view = cache.update(0, keys, values)
    cache.check()
    assert view.positions[-1] == position
    assert view.keys.take([-1], token_axis(cache.layout)).tobytes() == keys.tobytes()


@pytest.mark.parametrize("replaces", [False, True])
def test_a_negative_total_is_not_answered_with_negative_row_counts(replaces: bool) -> None:
    cache = replace() if replaces else worked()
    with pytest.raises(KVRingError) as caught:
        cache.update(0, ONE, ONE, seq_len=-1)
    for nonsense in ("expected -1 rows", "would drop 13 of 12", "truncate(-1)"):
        assert nonsense not in str(caught.value)


# Stale views


def use(view: Any) -> list[Call]:
    """Everything that can be asked of a view's rows."""
    names = ("keys", "values", "segments", "positions", "evicted")
    looks: list[Call] = [lambda _, name=name: getattr(view, name) for name in names]
    return [*looks, lambda _: view.mask(), lambda _: tuple(view), lambda _: view.copy()]


@pytest.mark.parametrize("order", ["temporal", "physical"])
def test_a_stale_view_says_what_happened_and_what_to_do(order: Any) -> None:
    cache = worked()
    view = cache.read(0, order=order)
    cache.update(0, ONE, ONE)
    for call in use(view):
        message = (
            "this view is stale: the layer has changed since it was made (seq_len 12 then, 13 now);"
            " use it before the next write, or keep view.copy()"
        )
        with refused(cache, StaleViewError, message):
            call(cache)


# The tree


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items(), ids=BUILT_IN)
def test_every_error_is_a_kvring_error_and_the_built_in_one(
    name: str, built_in: type[Exception]
) -> None:
    error = getattr(kvring, name)
    assert issubclass(error, KVRingError)
    assert issubclass(error, built_in)
    assert error.__doc__


def test_the_table_of_built_in_errors_is_complete() -> None:
    public = {name for name in kvring.__all__ if name.endswith("Error")}
    assert set(BUILT_IN) == public
    assert issubclass(EvictedError, PositionError)
