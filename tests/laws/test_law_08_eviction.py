"""Law 8 with eviction: an interrupt leaves rows and what the policy knows before or after.

What a policy knows is looked at by what it does: who gives way in the next updates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvring import FIFO, LRU, Append, HeavyHitter, KVCache
from tests.by_hand import make, rows, settle, shown
from tests.interrupts import at_every_bytecode
from tests.policies import NewestFirst

POLICIES = {
    "FIFO": FIFO(),
    "LRU": LRU(),
    "heavy hitters": HeavyHitter(recent_tokens=1),
    "one's own": NewestFirst(),
}


def filled(policy: Any, batch: int = 1) -> KVCache:
    """Five rows of nine tokens in two layers, one of them pinned."""
    cache = make(Append(5, eviction=policy, sink_tokens=1), layers=2, batch=batch)
    for layer in range(2):
        cache.update(layer, *rows(0, 5, batch=batch))
        for position in range(5, 9):
            view = cache.update(layer, *rows(position, position + 1, batch=batch))
            cache.observe(view, weights(position, batch))
    cache.pin([cache.positions(0).tolist()[2]])
    return cache


def weights(seed: int, batch: int) -> np.ndarray:
    """Of one query, alike in all batch rows, so that they do not go apart."""
    given = np.random.default_rng(seed).integers(0, 17, 5) / 16
    return np.repeat(given.reshape(1, 1, 1, -1), batch, axis=0)


def content(cache: KVCache) -> list[Any]:
    """All that can be seen, now and in what follows."""
    cache.check()
    settle(cache)
    now = [
        (cache.seq_lens.tolist(), cache.positions(n).tolist(), shown(cache.read(n)), cache.room)
        for n in range(cache.layers)
    ]
    twin = cache.copy()
    for layer in range(2):
        for tokens in (1, 2):
            start = int(twin.seq_lens[layer, 0])
            given = rows(start, start + tokens, batch=cache.batch)
            now.append(twin.update(layer, *given).evicted.tolist())
    return now


CALLS: dict[str, Callable[[KVCache], Any]] = {
    "one token": lambda cache: cache.update(0, *rows(9, 10, batch=cache.batch)),
    "a chunk": lambda cache: cache.update(0, *rows(9, 11, batch=cache.batch)),
    "touch": lambda cache: cache.touch(0, cache.positions(0).tolist()[1:2]),
    "observe": lambda cache: cache.observe(cache.read(0), weights(99, cache.batch)),
    "pin": lambda cache: cache.pin([8]),
    "unpin": lambda cache: cache.unpin(cache.positions(0).tolist()[2:3]),
    "evict": lambda cache: cache.evict([8]),
    "reset": lambda cache: cache.reset(),
}


CASES = [
    *((policy, "one token") for policy in POLICIES),
    ("FIFO", "a chunk"),
    ("LRU", "touch"),
    ("LRU", "observe"),
    ("heavy hitters", "observe"),
    ("heavy hitters", "pin"),
    ("FIFO", "unpin"),
    ("one's own", "evict"),
    ("LRU", "reset"),
]


@pytest.mark.parametrize(("policy", "name"), CASES)
def test_an_interrupt_at_any_bytecode_leaves_rows_and_policy_before_or_after(
    policy: str, name: str
) -> None:
    interrupted_everywhere(POLICIES[policy], CALLS[name], batch=1)


def test_the_same_where_batch_rows_have_slots_of_their_own() -> None:
    interrupted_everywhere(LRU(), CALLS["one token"], batch=2)


def interrupted_everywhere(policy: Any, call: Callable[[KVCache], Any], batch: int) -> None:
    before = content(filled(policy, batch))
    finished = filled(policy, batch)
    call(finished)
    after = content(finished)
    start = filled(policy, batch)

    def interrupted(interrupt: Any) -> None:
        cache = start.copy()
        with interrupt:
            call(cache)
        for ring in cache.rings:  # held only by a call that is no more: let go, as it would have
            if ring.lock.locked():
                ring.lock.release()
        assert content(cache) in (before, after), interrupt.where

    assert at_every_bytecode(interrupted) > 20
