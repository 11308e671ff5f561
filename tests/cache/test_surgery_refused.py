"""Surgery that is refused: what is said, and that nothing has moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import (
    Append,
    ConfigError,
    DTypeError,
    KVCache,
    LockError,
    ShapeError,
)
from tests.cache.numbered import RING, SEEN, held, made


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ShapeError, "expected 4, one per batch row, got 2", lambda c: c.reorder([0, 1])),
        (ShapeError, "expected 4, one per batch row, got 5", lambda c: c.reorder(range(5))),
        (ShapeError, "expected 0 to 3, got 4", lambda c: c.reorder([0, 1, 2, 4])),
        (ShapeError, "expected 0 to 3, got -1", lambda c: c.reorder([0, 1, 2, -1])),
        (DTypeError, "expected a list of int, got 0", lambda c: c.reorder(0)),
        (DTypeError, r"expected a list of int, got array\(0\)", lambda c: c.select(np.array(0))),
        (ConfigError, "cannot reserve", lambda c: c.repeat(2**70)),
        (DTypeError, "expected a list of int, got '0123'", lambda c: c.reorder("0123")),
        (DTypeError, "expected an int, got True", lambda c: c.reorder([0, 1, 2, True])),
        (DTypeError, r"expected an int, got 2\.0", lambda c: c.reorder([0, 1, 2.0, 3])),
        (DTypeError, "expected an int", lambda c: c.reorder(np.zeros((4, 2), int))),
        (ShapeError, "one or more, got none", lambda c: c.select([])),
        (ShapeError, "none twice", lambda c: c.select([1, 1])),
        (ShapeError, "expected 0 to 3, got 4", lambda c: c.select([4])),
        (DTypeError, "expected a list of int", lambda c: c.select(None)),
        (ShapeError, "expected 1 or more, got 0", lambda c: c.repeat(0)),
        (DTypeError, "expected an int", lambda c: c.repeat(2.0)),
        (DTypeError, "expected an int", lambda c: c.repeat([1, 1])),
        (DTypeError, "expected a KVCache, got NoneType", lambda c: c.add_batch_rows(None)),
    ],
)
def test_batch_rows_that_there_are_not_are_refused_and_nothing_moves(
    error: Any, message: str, call: Any
) -> None:
    cache = made()
    view = cache.read(0)
    with pytest.raises(error, match=message):
        call(cache)
    assert view.positions.tolist() == [0, 5, 6, 7], "not stale"
    assert held(cache) == SEEN


@pytest.mark.parametrize(
    ("error", "message", "changed"),
    [
        (DTypeError, "expected float32, got float16", {"dtype": "float16"}),
        (ShapeError, "expected 2 layers, got 1", {"layers": 1}),
        (ShapeError, "expected kv_heads=1 in layer 0, got 2", {"kv_heads": 2}),
        (ShapeError, "expected head_dim=1 in layer 0", {"head_dim": 2, "value_dim": 1}),
        (ShapeError, "expected value_dim=1 in layer 0", {"value_dim": 2}),
        (ShapeError, "expected layout BSHD, got BHSD", {"layout": "BHSD"}),
        (ConfigError, r"expected Circular\(.*got Append", {"strategy": Append(12)}),
    ],
)
def test_a_cache_of_another_make_is_not_added(error: Any, message: str, changed: Any) -> None:
    cache = made(batch=2)
    arguments = {"layers": 2, "kv_heads": 1, "head_dim": 1, "strategy": RING, **changed}
    with pytest.raises(error, match=message):
        cache.add_batch_rows(KVCache(**arguments))
    assert held(cache) == SEEN[:2]


def test_who_reads_or_steps_cannot_move_batch_rows() -> None:
    cache = made()
    for call in (
        lambda: cache.reorder([0, 1, 2, 3]),
        lambda: cache.select([0]),
        lambda: cache.repeat(2),
        lambda: cache.add_batch_rows(cache),
    ):
        with cache.reading(1), pytest.raises(LockError, match="this thread reads"):
            call()
        with pytest.raises(LockError, match="move batch rows"), cache.step():
            call()
    assert held(cache) == SEEN


def test_memory_that_cannot_be_had_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = made()
    calls = []

    def scarce(nbytes: int, **options: Any) -> np.ndarray:
        calls.append(nbytes)
        if len(calls) == 8:  # the last of those that are made; as many were only tried before
            raise ConfigError("no memory")
        return np.zeros(nbytes, np.uint8)

    monkeypatch.setattr("kvring.storage.reserve", scarce)
    with pytest.raises(ConfigError, match="no memory"):
        cache.repeat(2)
    assert len(calls) == 8
    assert held(cache) == SEEN
