"""Batch rows of layers with an eviction policy rearranged: pins and memories go along."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from kvring import (
    FIFO,
    LRU,
    Append,
    ConfigError,
    HeavyHitter,
    PolicyError,
)
from tests.beside import Beside
from tests.cache.numbered import held, made, numbered
from tests.policies import NewestFirst


def test_what_a_policy_remembers_goes_with_its_batch_row() -> None:
    cache = made(Append(3, eviction=HeavyHitter(0)), tokens=3, layers=1)
    weights = np.zeros((4, 1, 1, 3), np.float32)
    for batch_row, heavy in enumerate((0, 1, 2, 0)):
        weights[batch_row, 0, 0] = [0.1, 0.2, 0.3]
        weights[batch_row, 0, 0, heavy] = 0.9
    cache.observe(cache.read(0), weights)
    cache.reorder([2, 1, 2, 0])
    view = cache.update(0, *numbered(cache, 3))
    assert view.evicted.tolist() == [[0], [0], [0], [1]]
    cache.select([3, 0])
    assert held(cache)[0] == [0, 2, 303]


@pytest.mark.parametrize("policy", [LRU(), FIFO(), HeavyHitter(1), NewestFirst()], ids=str)
def test_batch_rows_with_a_policy_do_as_the_reference_does(policy: Any) -> None:
    both = Beside(Append(5, eviction=policy, sink_tokens=1), batch=3)
    chance = random.Random(4)
    both.feed(5)
    for round_ in range(30):
        both.feed(chance.choice([1, 1, 2]))
        weigh(both, round_)
        batch = both.cache.batch
        chosen = [chance.randrange(batch) for _ in range(batch)]
        verb = chance.choice(["reorder", "select", "repeat", "add", "nothing"])
        if verb == "reorder":
            both.do(lambda c, rows=chosen: c.reorder(rows))
        elif verb == "select":
            both.do(lambda c, rows=chosen: c.select(sorted(set(rows))))
        elif verb == "repeat" and batch <= 3:
            both.do(lambda c: c.repeat(2))
        elif verb == "add" and batch <= 3:
            both.do(lambda c: c.add_batch_rows(c))
        both.compare()


def weigh(both: Beside, seed: int) -> None:
    """Attention weights for the rows that the newest token of layer 0 sees, all the same."""
    if seed % 3 == 0:
        both.do(lambda c: c.touch(1, [both.reference.seq_len - 1]))
    given = np.random.default_rng(seed).integers(0, 9, (both.cache.batch, 4, 1, 5)) / 16
    view = both.cache.read(0)
    both.cache.observe(view, given)
    columns = np.broadcast_to(view.positions, (both.cache.batch, 5)).tolist()
    both.reference.observe(0, columns, given.tolist())


def test_pins_go_on_where_their_rows_are() -> None:
    cache = made(Append(4, eviction=FIFO()), tokens=4, layers=1)
    cache.pin([0])
    cache.reorder([3, 2, 1, 0])
    cache.select([1, 3])
    assert cache.room == 3
    cache.update(0, *numbered(cache, 4))
    assert held(cache) == [[200, 202, 203, 4], [0, 2, 3, 104]]
    with pytest.raises(PolicyError, match="pinned"):
        cache.evict([0])
    cache.unpin([0])
    cache.update(0, *numbered(cache, 5))
    assert held(cache)[0] == [202, 203, 4, 5]


def test_a_policy_that_cannot_be_copied_leaves_everything_as_it_was() -> None:
    class Once(NewestFirst):
        copies = 0

        def __deepcopy__(self, memo: Any) -> Once:
            Once.copies += 1
            if Once.copies > 6:
                raise RuntimeError("no more")
            return Once()

    cache = made(Append(4, eviction=Once()), batch=2, tokens=4, layers=2)
    before = held(cache)
    with pytest.raises((RuntimeError, ConfigError)):
        cache.repeat(4)
    assert held(cache) == before
    assert cache.batch == 2
