"""Law 8 where batch rows go apart: an interrupt leaves all of them before the call, or after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvring import LRU, Append, Circular, KVCache, Replace
from tests.by_hand import make, settle
from tests.interrupts import at_every_bytecode, let_go

MODES = {
    "circular": Circular(3, 1, 2),
    "replace": Replace(12),
    "eviction": Append(6, eviction=LRU(), sink_tokens=1),
}


def tokens(first: float, count: int) -> Any:
    """K and V of as many tokens for both batch rows."""
    keys = np.arange(2 * count, dtype=np.float32).reshape(2, count, 1, 1) + first
    return keys, keys + 0.5


def filled(mode: Any) -> KVCache:
    """Two layers, the second batch row four tokens behind."""
    cache = make(mode, layers=2, batch=2)
    for layer in range(2):
        for counts in ([3, 2], [2, 0], [2, 1]):
            cache.update(layer, *tokens(9.0, 3), token_counts=counts)
    return cache


def content(cache: KVCache) -> list[Any]:
    """All that can be seen, now and after one more token."""
    cache.check()
    settle(cache)
    found: list[Any] = [cache.seq_lens.tolist(), cache.lengths.tolist(), cache.room]
    twin = cache.copy()
    for layer in range(2):
        found += [cache.positions(layer).tolist(), twin.stats.rows_evicted]
        found += [array.tolist() for array in cache.read(layer)]
        found += [array.tolist() for array in twin.update(layer, *tokens(100.0, 1))]
    return found


CALLS: dict[str, Callable[[KVCache], Any]] = {
    "one token of each": lambda c: c.update(0, *tokens(50.0, 1)),
    "one token of one": lambda c: c.update(0, *tokens(50.0, 1), token_counts=[0, 1]),
    "a chunk": lambda c: c.update(0, *tokens(50.0, 3), token_counts=[3, 1], padding="left"),
    "no tokens": lambda c: c.update(0, *tokens(50.0, 3), token_counts=[0, 0]),
    "a target for each": lambda c: c.truncate([0, 2]),
}
CASES = [
    *(("circular", name) for name in CALLS),
    ("replace", "a chunk"),
    ("eviction", "a chunk"),
    ("eviction", "a target for each"),
]


@pytest.mark.parametrize(("mode", "name"), CASES)
def test_an_interrupt_at_any_bytecode_leaves_every_batch_row_before_or_after(
    mode: str, name: str
) -> None:
    call = CALLS[name]
    start = filled(MODES[mode])
    before, finished = content(start.copy()), start.copy()
    call(finished)
    after = content(finished)

    def interrupted(interrupt: Any) -> None:
        cache = start.copy()
        with interrupt:
            call(cache)
        let_go(cache, interrupt)
        assert content(cache) in (before, after), interrupt.where

    assert at_every_bytecode(interrupted) > 20


@pytest.mark.parametrize("mode", ["circular", "eviction"])
def test_a_refused_call_interrupted_anywhere_leaves_the_next_one_to_work(mode: str) -> None:
    start = filled(MODES[mode])
    before = content(start.copy())

    def interrupted(interrupt: Any) -> None:
        cache = start.copy()
        try:
            with interrupt:
                cache.update(0, *tokens(50.0, 2), token_counts=[1, 3])
        except ValueError:
            pass
        let_go(cache, interrupt)
        assert content(cache) == before, interrupt.where

    assert at_every_bytecode(interrupted) > 20
