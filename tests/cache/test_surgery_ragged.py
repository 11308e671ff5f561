"""Ragged, wrapped and rolled-back batch rows moved and resized: as if each had its own cache."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from kvring import FIFO, LRU, Append, Circular, HeavyHitter, Replace
from kvring.rows import RaggedState, State
from tests.beside import Beside
from tests.often import often
from tests.policies import NewestFirst

MODES = {
    "append": Append(14),
    "ring": Circular(3, 1, 2),
    "replace": Replace(5),
    "two rings and append": [Circular(2), Circular(4, 2, 1), Append(20)],
    "FIFO": Append(6, eviction=FIFO(), sink_tokens=1),
    "LRU": Append(5, eviction=LRU()),
    "heavy hitters": Append(6, eviction=HeavyHitter(2), sink_tokens=2),
    "one's own": Append(4, eviction=NewestFirst()),
}


def ragged(mode: Any, *counts: int, layers: int = 1, **arguments: Any) -> Beside:
    """Batch rows that have taken so many tokens each."""
    both = Beside(mode, batch=len(counts), layers=layers, **arguments)
    both.feed(max(counts), token_counts=list(counts), padding="left")
    return both


def test_batch_rows_of_different_length_change_places_with_all_they_have() -> None:
    both = ragged(Circular(3, 1, 2), 9, 2, 5, layers=2)
    both.do(lambda cache: cache.truncate([8, 1, 5]))
    for change in ([1, 1, 0], [2, 0, 1], [0, 0, 0]):
        both.do(lambda cache, rows=change: cache.reorder(rows))
        both.compare()
        both.feed(1)
        both.compare()


def test_batch_rows_that_come_to_be_alike_are_on_the_fast_path_again() -> None:
    both = ragged(Append(9), 3, 1, 3)
    assert isinstance(both.cache.rings[0].state, RaggedState)
    both.do(lambda cache: cache.select([2, 0]))
    both.compare()
    assert isinstance(both.cache.rings[0].state, State)
    both.do(lambda cache: cache.reorder([1, 1]))
    both.feed(2)
    both.compare()


def test_caches_of_different_length_make_one_ragged_batch() -> None:
    both, other = ragged(Circular(4, 1, 1), 9, 9, layers=2), ragged(Circular(4, 1, 1), 3, layers=2)
    both.cache.add_batch_rows(other.cache)
    both.reference.add_batch_rows(other.reference)
    both.compare()
    assert both.cache.seq_lens.tolist() == [[9, 9, 3]] * 2
    both.feed(3, token_counts=[1, 0, 3])
    both.compare()


def test_pins_and_eviction_of_an_added_batch_row_are_its_own() -> None:
    mode = Append(3, eviction=FIFO())
    both, other = ragged(mode, 3), ragged(mode, 3)
    other.feed(2)
    for one in (other, both):
        position = one.reference.seq_len - 2
        one.do(lambda cache, pinned=position: cache.pin([pinned]))
    both.cache.add_batch_rows(other.cache)
    both.reference.add_batch_rows(other.reference)
    for _ in range(3):
        both.feed(1)
        both.compare()
    assert both.cache.positions(0).tolist() == [[1, 4, 5], [3, 6, 7]]
    both.do(lambda cache: cache.truncate([0, both.reference.seq_lens[0][1]]))
    both.do(lambda cache: cache.reorder([1, 0]))
    both.compare()


def test_a_resize_must_suit_every_batch_row() -> None:
    both = ragged(Append(9), 2, 7)
    for numbers in ({"capacity": 6}, {"capacity": 7}, {"capacity": 20}):
        both.do(lambda cache, n=numbers: cache.resize(**n))
        both.compare()
    assert both.cache.rings[0].capacity == 20
    ring = ragged(Circular(3), 2, 5)
    ring.do(lambda cache: cache.resize(window=4))
    assert ring.cache.rings[0].capacity == 3, "the longer batch row has lost rows"
    ring.do(lambda cache: cache.resize(rollback_tokens=3))
    ring.feed(2)
    ring.compare()
    ring.do(lambda cache: cache.resize(window=2, rollback_tokens=1))
    ring.compare()


def anything(both: Beside, chance: random.Random) -> None:
    """One call of some kind on both."""
    batch = both.cache.batch
    some = [chance.randrange(batch) for _ in range(batch)]
    back = [
        max(min(lens) - chance.choice([0, 0, 1, 2, 9]), 0)
        for lens in zip(*both.reference.seq_lens, strict=True)
    ]
    names = chance.sample(["capacity", "window", "rollback_tokens"], chance.randint(1, 2))
    numbers = {name: chance.randint(1, 12) for name in names}
    other = both.copy()
    calls: dict[str, Any] = {
        "truncate": lambda cache: cache.truncate(back),
        "reorder": lambda cache: cache.reorder(some),
        "select": lambda cache: cache.select(some[: 1 + some[0]]),
        "repeat": lambda cache: cache.repeat(2 if batch <= 3 else 1),
        "add": lambda cache: cache.add_batch_rows(
            (other.cache if cache is both.cache else other.reference) if batch <= 3 else None
        ),
        "resize": lambda cache: cache.resize(**numbers),
        "pin": lambda cache: cache.pin([min(back)]),
    }
    verb = chance.choice(["feed"] * 4 + ["touch", "observe", *calls])
    if verb == "feed":
        tokens = chance.choice([1, 1, 2, 4])
        counts = [chance.randint(0, tokens) for _ in range(batch)]
        side = chance.choice(["left", "right"])
        options = {} if chance.random() < 0.3 else {"token_counts": counts, "padding": side}
        both.feed(tokens, **options)
    elif verb == "touch":
        both.do(lambda cache: cache.touch(0, [min(back)]))
    elif verb == "observe":
        weigh(both, chance)
    else:
        if verb == "add":  # of which a part has other pasts
            other.do(lambda cache: cache.truncate(back))
            other.do(lambda cache: cache.select([some[0]]))
        both.do(calls[verb])


def weigh(both: Beside, chance: random.Random) -> None:
    """Attention weights for what the newest token of each batch row sees in layer 0."""
    if getattr(both.cache.config.layers[0].strategy, "eviction", None) is None:
        return
    view = both.cache.read(0, order=chance.choice(["temporal", "physical"]))
    shape = (both.cache.batch, 2, 1, view.row_count)
    given = np.random.default_rng(chance.randrange(99)).integers(0, 9, shape) / 16
    both.cache.observe(view, given)
    columns = np.broadcast_to(view.positions, (shape[0], shape[3])).tolist()
    both.reference.observe(0, columns, given.tolist())


@pytest.mark.parametrize("seed", range(often(4, at_least=2)))
@pytest.mark.parametrize("mode", MODES)
def test_whatever_batch_rows_go_through_each_is_as_if_it_were_alone(mode: str, seed: int) -> None:
    chance = random.Random(100 * seed + len(mode))
    strategy = MODES[mode]
    layers = len(strategy) if isinstance(strategy, list) else 2
    layout = ["BSHD", "BHSD"][seed % 2]
    both = Beside(strategy, batch=3, layers=layers, layout=layout)
    for _ in range(30):
        anything(both, chance)
        both.compare()
