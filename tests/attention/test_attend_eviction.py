"""attend over layers in which rows have given way: slots in any order, batch rows that differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import FIFO, LRU, Append, HeavyHitter, attend
from kvring.scattered import _stretches
from tests.attention.twin import Pair

POLICIES = [FIFO(), LRU(), HeavyHitter(recent_tokens=2)]


def step(pair: Pair, rng: np.random.Generator, count: int, order: Any) -> None:
    """An update, attention over its view, and the policy told of the weights."""
    view, seen = pair.update(count, order)
    query = pair.query(count, 2)
    pair.check(query, view, seen, threads=int(rng.integers(1, 3)))
    pair.check(query, view.copy(), seen)
    read = pair.cache.read(0, order=order)
    pair.check(pair.query(1, 3), read, pair.reference.read(0))
    positions = pair.cache.positions(0)
    if rng.random() < 0.3 and positions.ndim == 1 and len(positions) > 4:
        gone = [int(p) for p in positions[2:] if rng.random() < 0.3][:-1]
        pair.cache.evict(gone)
        pair.reference.evict(gone)
        pair.check(pair.query(1, 1), pair.cache.read(0, order=order), pair.reference.read(0))


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_whatever_rows_a_policy_keeps_are_attended_to(policy: Any, layout: str) -> None:
    rng = np.random.default_rng(3)
    mode = Append(9, eviction=policy, sink_tokens=1)
    pair = Pair(rng, mode, kv_heads=2, head_dim=4, layout=layout)
    for count in (6, 1, 1, 1, 3, 1, 5, 2, 1, 1, 4):
        step(pair, rng, count, str(rng.choice(["temporal", "physical"])))


def test_batch_rows_that_keep_different_rows_are_attended_to_each_by_itself() -> None:
    rng = np.random.default_rng(4)
    pair = Pair(
        rng, Append(6, eviction=HeavyHitter(recent_tokens=1)), batch=3, kv_heads=2, head_dim=3
    )
    for count in (5, 1, 1, 1, 2, 1, 1, 3):
        view, seen = pair.update(count)
        query = pair.query(count, 2)
        pair.check(query, view, seen, threads=2)
        _, weights = attend(query, view, weights=True)
        heads_first = np.swapaxes(weights, 1, 2)
        columns = np.broadcast_to(view.positions, (3, view.row_count)).tolist()
        pair.cache.observe(view, heads_first)
        pair.reference.observe(0, columns, heads_first.tolist())
    apart = pair.cache.positions(0)
    assert apart.ndim == 2
    pair.check(pair.query(1, 2), pair.cache.read(0, order="physical"), pair.reference.read(0))


def test_rows_that_all_queries_see_are_one_stretch_whatever_their_order() -> None:
    slots = np.arange(1000)
    positions = np.random.default_rng(5).permutation(1000)
    assert len(_stretches(slots, positions, 999, alone=False)) == 1
    assert _stretches(slots[:0], positions[:0], 0, alone=True).shape == (0, 5)
