"""The reference moves whole batch rows: reorder, select, repeat, add_batch_rows.

At the end all that batch rows go through, at random: as if each had its own cache.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from kvring.config import Append, CacheConfig, Circular, Mode, Replace
from kvring.errors import ConfigError, DTypeError, KVRingError, ShapeError
from kvring.reference import ReferenceCache
from tests.often import often
from tests.support import WORKED_EXAMPLE, make_reference


def batch_of(*prompts: str, strategy: Mode | None = None) -> ReferenceCache:
    """A reference of two layers, the second one token behind; one prompt per batch row."""
    cache = make_reference(*[strategy or Append(9)] * 2, batch=len(prompts))
    longest = max(map(len, prompts))
    padded = [list(prompt.rjust(longest, ".")) for prompt in prompts]
    counts = [len(prompt) for prompt in prompts]
    cache.update(0, padded, token_counts=counts, padding="left")
    behind = [[".", *row[:-1]] for row in padded]
    cache.update(1, behind, token_counts=[count - 1 for count in counts], padding="left")
    return cache


def held(cache: ReferenceCache) -> list[list[str]]:
    """What each layer holds, one text per batch row."""
    batch = range(cache.config.batch)
    return [["".join(cache.rows(layer, b)) for b in batch] for layer in range(2)]


def test_reorder_makes_each_batch_row_what_another_one_was() -> None:
    cache = batch_of("abc", "de", "f")
    cache.reorder([2, 0, 0])
    assert held(cache) == [["f", "abc", "abc"], ["", "ab", "ab"]]
    assert cache.seq_lens == [[1, 3, 3], [0, 2, 2]]
    assert cache.config.batch == 3


def test_select_keeps_some_batch_rows_in_the_order_given() -> None:
    cache = batch_of("abc", "de", "f")
    cache.select([2, 0])
    assert held(cache) == [["f", "abc"], ["", "ab"]]
    assert cache.config.batch == 2
    cache.select([1])
    assert (cache.config.batch, cache.seq_len) == (1, 2)


def test_repeat_puts_equal_batch_rows_side_by_side() -> None:
    cache = batch_of("abc", "de")
    cache.repeat(2)
    assert held(cache) == [["abc", "abc", "de", "de"], ["ab", "ab", "d", "d"]]
    assert cache.config.batch == 4
    cache.repeat(1)
    assert cache.config.batch == 4


def test_add_batch_rows_appends_those_of_the_other_cache() -> None:
    cache, other = batch_of("abc", "de"), batch_of("f")
    cache.add_batch_rows(other)
    assert held(cache) == [["abc", "de", "f"], ["ab", "d", ""]]
    assert (cache.config.batch, other.config.batch) == (3, 1)
    assert cache.seq_lens == [[3, 2, 1], [2, 1, 0]]


def test_a_cache_can_be_added_to_itself() -> None:
    cache = batch_of("abc", "de")
    cache.add_batch_rows(cache)
    assert held(cache)[0] == ["abc", "de", "abc", "de"]
    cache.truncate([1, 0, 0, 1])
    assert held(cache)[0] == ["a", "", "", "d"]


def test_batch_rows_that_were_one_go_their_own_ways() -> None:
    cache = batch_of("abc", "de")
    other = batch_of("f")
    cache.reorder([0, 0])
    cache.add_batch_rows(other)
    cache.update(0, [["x"]] * 3, token_counts=[1, 0, 1])
    assert held(cache)[0] == ["abcx", "abc", "fx"]
    assert held(other)[0] == ["f"]
    cache.repeat(2)
    cache.update(0, [["y"]] * 6, token_counts=[1, 0, 0, 0, 1, 0])
    assert held(cache)[0] == ["abcxy", "abcx", "abc", "abc", "fxy", "fx"]


def test_a_wrapped_batch_row_that_was_rolled_back_moves_with_all_it_has_left() -> None:
    ring = Circular(window=2, sink_tokens=1, rollback_tokens=2)
    cache = make_reference(ring, batch=2)
    cache.update(0, [list("abcdefgh")] * 2, token_counts=[8, 2])
    cache.truncate([6, 2])
    cache.reorder([1, 0])
    assert [cache.positions(0, b) for b in range(2)] == [[0, 1], [0, 4, 5]]
    view = cache.update(0, ["x"])
    assert [view.batch_row(b).rows for b in range(2)] == [["a", "b", "x"], ["a", "f", "x"]]
    assert [view.batch_row(b).evicted for b in range(2)] == [[], []]


def test_views_made_before_stay_what_they_were() -> None:
    cache = batch_of("abc", "de")
    view = cache.read(0)
    cache.select([1])
    assert [view.batch_row(b).rows for b in range(2)] == [list("abc"), list("de")]


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ShapeError, lambda c: c.reorder([0, 1])),
        (ShapeError, lambda c: c.reorder([0, 1, 2, 0])),
        (ShapeError, lambda c: c.reorder([0, 1, 3])),
        (ShapeError, lambda c: c.reorder([0, 1, -1])),
        (DTypeError, lambda c: c.reorder(0)),
        (DTypeError, lambda c: c.reorder("012")),
        (DTypeError, lambda c: c.reorder([0, 1, True])),
        (DTypeError, lambda c: c.reorder([0, 1, 2.0])),
        (ShapeError, lambda c: c.select([])),
        (ShapeError, lambda c: c.select([1, 1])),
        (ShapeError, lambda c: c.select([3])),
        (ShapeError, lambda c: c.select([-1])),
        (DTypeError, lambda c: c.select(1)),
        (DTypeError, lambda c: c.select(None)),
        (DTypeError, lambda c: c.select(["1"])),
        (ShapeError, lambda c: c.repeat(0)),
        (ShapeError, lambda c: c.repeat(-1)),
        (DTypeError, lambda c: c.repeat(True)),
        (DTypeError, lambda c: c.repeat(2.0)),
        (DTypeError, lambda c: c.repeat([1, 2, 3])),
    ],
)
def test_batch_rows_that_there_are_not_are_refused_and_nothing_moves(
    error: type[KVRingError], call: Callable[[Any], Any]
) -> None:
    cache = batch_of("abc", "de", "f")
    before = cache.config, held(cache), cache.seq_lens
    with pytest.raises(error):
        call(cache)
    assert (cache.config, held(cache), cache.seq_lens) == before


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        (DTypeError, {"dtype": "float16"}),
        (ShapeError, {"layers": 1}),
        (ShapeError, {"kv_heads": 2}),
        (ShapeError, {"head_dim": 2, "value_dim": 1}),
        (ShapeError, {"value_dim": 2}),
        (ShapeError, {"layout": "BHSD"}),
        (ConfigError, {"strategy": Append(8)}),
        (ConfigError, {"strategy": Circular(9)}),
    ],
)
def test_a_cache_of_another_make_is_not_added(
    error: type[KVRingError], changed: dict[str, Any]
) -> None:
    cache = batch_of("abc")
    arguments = {"layers": 2, "kv_heads": 1, "head_dim": 1, "strategy": Append(9), **changed}
    other = ReferenceCache(CacheConfig.build(**arguments))
    with pytest.raises(error, match="other: expected"):
        cache.add_batch_rows(other)
    assert (cache.config.batch, held(cache)) == (1, [["abc"], ["ab"]])


@pytest.mark.parametrize("other", [None, [], "cache"])
def test_what_is_no_cache_is_not_added(other: Any) -> None:
    with pytest.raises(DTypeError, match="other: expected a ReferenceCache"):
        batch_of("abc").add_batch_rows(other)


# A batch is its batch rows


class Together:
    """A ragged reference, and beside it one reference for each of its batch rows."""

    def __init__(self, strategies: list[Mode], chance: random.Random) -> None:
        self.chance = chance
        self.layers = range(len(strategies))
        self.whole = make_reference(*strategies, batch=3)
        self.alone = [make_reference(*strategies) for _ in range(3)]
        self.tokens = 0
        self.refusals = 0

    def carry_out(self, call: Callable[[ReferenceCache], Any], on_each: list[Any]) -> Any:
        """Do it to the whole and to each alone, or find that it is refused: `compare` then finds
        whether anything has changed.
        """
        trial = [one.copy() for one in self.alone]
        refused, views = set(), []
        for one, on_one in zip(trial, on_each, strict=True):
            try:
                views.append(on_one(one))
            except KVRingError as error:
                refused.add(type(error))
        if refused:
            self.refusals += 1
            with pytest.raises(tuple(refused)):
                call(self.whole)
            return
        view = call(self.whole)
        self.alone = trial
        if view is not None:
            assert [view.batch_row(b) for b in range(len(views))] == views

    def update(self) -> None:
        layer, most = self.chance.choice(self.layers), self.chance.randrange(5)
        counts = [self.chance.randint(0, most) for _ in self.alone]
        padding: Any = self.chance.choice(["right", "left"])
        rows = [[f"{self.tokens + t} {b}" for t in range(most)] for b in range(len(counts))]
        self.tokens += most

        def on(b: int) -> Callable[[ReferenceCache], Any]:
            first = 0 if padding == "right" else most - counts[b]
            return lambda one: one.update(layer, rows[b][first : first + counts[b]])

        self.carry_out(
            lambda whole: whole.update(layer, rows, token_counts=counts, padding=padding),
            [on(b) for b in range(len(counts))],
        )

    def truncate(self) -> None:
        targets = []
        for one in self.alone:
            dropped = self.chance.choice([0, 0, 1, 2, one.seq_len, one.seq_len + 1])
            targets.append(one.seq_len - dropped)

        def on(target: int) -> Callable[[ReferenceCache], None]:
            return lambda one: one.truncate(target)

        self.carry_out(lambda whole: whole.truncate(targets), [on(n) for n in targets])

    def rearrange(self) -> None:
        batch = len(self.alone)
        chosen = [self.chance.randrange(batch) for _ in range(batch)]
        kind = self.chance.choice(["reorder", "select", "repeat", "add"])
        if kind == "reorder":
            self.whole.reorder(chosen)
        elif kind == "select":
            chosen = self.chance.sample(range(batch), self.chance.randint(1, batch))
            self.whole.select(chosen)
        elif kind == "repeat" and batch <= 3:
            chosen = sorted([*range(batch)] * 2)
            self.whole.repeat(2)
        elif kind == "add" and batch <= 3:
            other = self.whole.copy()
            other.select(sorted(set(chosen)))
            chosen = [*range(batch), *sorted(set(chosen))]
            self.whole.add_batch_rows(other)
        else:
            chosen = [*range(batch)]
        self.alone = [self.alone[b].copy() for b in chosen]

    def compare(self) -> None:
        batch = range(len(self.alone))
        assert self.whole.config.batch == len(batch)
        for layer in self.layers:
            for b, one in enumerate(self.alone):
                assert self.whole.positions(layer, b) == one.positions(layer)
                assert self.whole.rows(layer, b) == one.rows(layer)
                assert self.whole.read(layer).batch_row(b) == one.read(layer)
            assert self.whole.seq_lens[layer] == [one.seq_lens[layer][0] for one in self.alone]
            assert self.whole.lengths[layer] == [one.lengths[layer][0] for one in self.alone]
        rooms = [one.room for one in self.alone]
        assert self.whole.room == min((r for r in rooms if r is not None), default=None)


@pytest.mark.parametrize("seed", range(often(10, at_least=2)))
@pytest.mark.parametrize(
    "strategies",
    [
        [Append(12)],
        [WORKED_EXAMPLE],
        [Replace(3)],
        [Circular(2), Circular(3, 1, 2)],
        [Append(14), WORKED_EXAMPLE, Replace(4)],
    ],
    ids=["append", "circular", "replace", "two rings", "mixed"],
)
def test_a_batch_is_as_if_each_batch_row_had_its_own_cache(
    strategies: list[Mode], seed: int
) -> None:
    both = Together(strategies, random.Random(seed))
    for _ in range(60):
        both.chance.choices([both.update, both.truncate, both.rearrange], [6, 2, 1])[0]()
        both.compare()
    assert both.refusals
