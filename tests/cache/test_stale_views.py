"""When views go stale, and what their copies are: rows of their own that never do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvring import Append, CapacityError, KVCache, KVView, Replace, StaleViewError
from tests.cache.feeding import feed, make, numbered, numbers, pieces, worked
from tests.support import WORKED_EXAMPLE

# Stale


def changes(cache: KVCache) -> dict[str, Any]:
    return {
        "update": lambda: feed(cache, 1),
        "update of a chunk": lambda: feed(cache, 3),
        "truncate": lambda: cache.truncate(1),
        "truncate to the same length": lambda: cache.truncate(cache.seq_len),
        "truncate by a smaller total": lambda: cache.update(0, *numbered(0, 0), seq_len=1),
        "reset": cache.reset,
    }


USES: tuple[Callable[[KVView], object], ...] = (
    lambda view: view.keys,
    lambda view: view.values,
    lambda view: view.segments,
    lambda view: view.positions,
    lambda view: view.evicted,
    lambda view: view.mask(),
    lambda view: view.copy(),
    lambda view: tuple(view),
)
KINDS = ("temporal", "physical", "assembled", "gathered", "read")


def view_of(cache: KVCache, kind: str) -> KVView:
    if kind == "assembled":
        return feed(cache, 5)
    if kind == "gathered":
        view = feed(cache, 1, 1)
        assert len(view.segments) == 3
        tuple(view)
        return view
    if kind == "read":
        return cache.read(0)
    return feed(cache, 1, order=kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", list(changes(make(Append(1)))))
def test_a_view_is_stale_as_soon_as_its_layer_changes(kind: str, change: str) -> None:
    cache, _ = worked()
    view = view_of(cache, kind)
    for use in USES:
        use(view)  # fresh: does not raise
    changes(cache)[change]()
    cache.check()
    for use in USES:
        with pytest.raises(StaleViewError):
            use(view)
    assert repr(view).endswith("; stale>")


def test_a_view_stays_stale_when_the_layer_is_filled_again_to_the_same_length() -> None:
    cache, view = worked()
    cache.truncate(11)
    feed(cache, 1)
    assert cache.seq_len == 12
    with pytest.raises(StaleViewError):
        tuple(view)


@pytest.mark.parametrize("rows", [0, 2, 3])
def test_every_update_in_replace_mode_makes_views_stale(rows: int) -> None:
    cache = make(Replace(4))
    view = feed(cache, 3, first=0)
    assert pieces(view) == [[0, 1, 2]]
    feed(cache, rows, first=0)
    with pytest.raises(StaleViewError):
        view.keys  # noqa: B018


@pytest.mark.parametrize("kind", KINDS)
def test_refused_updates_and_updates_of_no_tokens_leave_views_fresh(kind: str) -> None:
    cache, _ = worked()
    view = view_of(cache, kind)
    before = (numbers(view.keys), view.positions.tolist(), pieces(view))
    feed(cache, 0)
    with pytest.raises(TypeError):
        cache.update(0, np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 1)))
    with pytest.raises(IndexError):
        cache.truncate(2)
    cache.update(0, *numbered(0, 0), seq_len=cache.seq_len)
    assert (numbers(view.keys), view.positions.tolist(), pieces(view)) == before
    assert "stale" not in repr(view)


def test_an_update_that_the_kernel_began_and_the_capacity_refused_leaves_views_fresh() -> None:
    cache = make(Append(2))
    view = feed(cache, 2)
    with pytest.raises(CapacityError):
        feed(cache, 1)
    assert pieces(view) == [[0, 1]]


def test_a_view_knows_nothing_of_other_layers() -> None:
    cache = make(WORKED_EXAMPLE, WORKED_EXAMPLE)
    view = feed(cache, 1)
    feed(cache, 1, layer=1)
    assert numbers(view.keys) == [0]
    feed(cache, 1, layer=1)
    assert numbers(view.keys) == [0]


# Copies


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_shows_the_same_and_never_goes_stale(kind: str) -> None:
    cache, _ = worked()
    view = view_of(cache, kind)
    expected = (numbers(view.keys), numbers(view.values))
    facts = (view.positions.tolist(), view.mask().tolist(), view.evicted.tolist(), view.order)
    copies = [view.copy(), view.copy().copy()]
    feed(cache, 4, 1)
    cache.reset()
    feed(cache, 7)
    for copy in copies:
        assert [numbers(array) for array in copy] == [*expected]
        assert (numbers(copy.keys), numbers(copy.values)) == expected
        assert [numbers(keys) for keys, _ in copy.segments] == [expected[0]]
        assert (copy.positions.tolist(), copy.mask().tolist()) == facts[:2]
        assert (copy.evicted.tolist(), copy.order) == facts[2:]
        assert repr(copy).startswith("<KVView copied: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_shares_no_memory_with_the_ring(kind: str) -> None:
    cache, _ = worked()
    copy = view_of(cache, kind).copy()
    ring = cache.rings[0]
    for array in (copy.keys, copy.values, *copy):
        assert not np.shares_memory(array, ring._keys)
        assert not np.shares_memory(array, ring._values)


def test_copies_are_not_counted_as_gathered() -> None:
    cache, view = worked()
    view.copy().copy()
    assert cache.stats.rows_gathered == 0
