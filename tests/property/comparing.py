"""Does a cache show what the reference says? Every comparison the state machine makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from kvring.config import Append, Circular
from kvring.errors import KVRingError, StaleViewError
from kvring.reference import ReferenceCache, ReferenceView
from tests.support import Array, poison, rows_shape, token_axis, token_names

KEPT = 4  # views that are looked after at a time
Query = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Expected:
    """What a view must show as long as its layer does not change.

    Parameters
    ----------
    positions : list of int
        One per row of the view, -1 for a dead slot, whose content is unspecified.
    names : dict of int to bytes
        The name of the row at each position.
    visible : list of list of (int, bytes)
        What each query sees, oldest first.
    evicted : list of int
        Positions that left in the call.
    zero_copy : bool
        Whether the rows are those in the ring, not old and new ones put together (law 5).
    one_piece : bool
        Whether the view must be one segment (physical order).
    """

    positions: list[int]
    names: dict[int, bytes]
    visible: list[Query]
    evicted: list[int]
    zero_copy: bool
    one_piece: bool


def expected_view(
    cache: Any, reference: ReferenceCache, layer: int, seen: ReferenceView, order: str
) -> Expected:
    """What the cache must return where the reference returned `seen`, just after that call."""
    names = dict(zip(reference.positions(layer), reference.rows(layer), strict=True))
    zero_copy = all(position in names for position in seen.positions)
    # Law 12: assembled views and those of 0-token updates (no queries) stay in temporal order.
    physical = order == "physical" and zero_copy and bool(seen.visible)
    positions = seen.positions
    if physical:
        slots = cache.slots(layer).tolist()
        positions = [-1] * (max(slots, default=-1) + 1)
        for slot, position in zip(slots, names, strict=True):
            positions[slot] = position
    names.update(zip(seen.positions, seen.rows, strict=True))
    return Expected(positions, names, seen.visible, seen.evicted, zero_copy, physical)


def assert_view_shows(view: Any, expected: Expected, cache: Any, layer: int) -> None:
    """Rows, positions, mask, evicted positions and segments of `view` are those expected."""
    keys, values = view
    assert_array_of_layer(keys, values, cache, layer, len(expected.positions))
    names = token_names(keys, values, cache.config.layout)
    for name, position in zip(names, expected.positions, strict=True):
        assert position == -1 or name == expected.names[position], f"row of position {position}"
    assert_positions(view.positions, expected.positions)
    assert_positions(view.evicted, expected.evicted)
    mask = view.mask()
    assert mask.dtype == bool
    assert mask.shape == (len(expected.visible), len(expected.positions))
    for attended, visible in zip(mask, expected.visible, strict=True):
        rows = np.flatnonzero(attended).tolist()
        # Positions are unique, so a row seen twice or a dead slot seen makes a difference.
        assert sorted((expected.positions[row], names[row]) for row in rows) == visible
    assert_segments(view, expected, cache, layer, names)
    assert view.keys.tobytes() == keys.tobytes()
    assert view.values.tobytes() == values.tobytes()


def assert_segments(
    view: Any, expected: Expected, cache: Any, layer: int, names: list[bytes]
) -> None:
    """The segments are the rows in order, in the memory they should be in."""
    segments = view.segments
    assert 1 <= len(segments) <= (1 if expected.one_piece or not expected.zero_copy else 3)
    joined = []
    for keys, values in segments:
        count = keys.shape[token_axis(cache.config.layout)]
        assert count or len(segments) == 1
        assert_array_of_layer(keys, values, cache, layer, count)
        assert_memory(keys, values, cache, layer, expected.zero_copy)
        joined += token_names(keys, values, cache.config.layout)
    assert joined == names
    if len(segments) == 1:
        assert_memory(view.keys, view.values, cache, layer, expected.zero_copy)
    else:  # gathered, but once
        assert view.keys is view.keys
        assert view.values is view.values


def assert_memory(keys: Array, values: Array, cache: Any, layer: int, zero_copy: bool) -> None:
    """Rows of a ring are windows on it; assembled ones are not."""
    ring = cache.rings[layer]
    if keys.nbytes:  # no rows, no memory
        assert np.shares_memory(keys, ring._keys) == zero_copy
        assert np.shares_memory(values, ring._values) == zero_copy


def assert_array_of_layer(keys: Array, values: Array, cache: Any, layer: int, count: int) -> None:
    """K and V are read-only, of `count` tokens, in the cache's dtype and layout."""
    assert (keys.shape, values.shape) == rows_shape(cache.config, layer, count)
    assert keys.dtype == values.dtype == cache.config.dtype
    assert not keys.flags.writeable
    assert not values.flags.writeable


def assert_positions(found: Array, expected: list[int]) -> None:
    """An int64 array of these positions."""
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.tolist()) == (np.int64, expected)


def assert_same_state(cache: Any, reference: ReferenceCache) -> None:
    """All counters, and what every layer holds and shows, are those of the reference."""
    for found, expected in (
        (cache.seq_lens, reference.seq_lens),
        (cache.lengths, reference.lengths),
    ):
        assert found.dtype == np.int64
        assert found.tolist() == expected
    assert (cache.seq_len, cache.length) == (reference.seq_len, reference.length)
    assert cache.room == reference.room
    assert type(cache.seq_len) is type(cache.length) is int
    assert type(cache.room) in (int, type(None))
    for layer in range(len(cache.config.layers)):
        assert_positions(cache.positions(layer), reference.positions(layer))
        assert_slots(cache, layer, reference.positions(layer))
        seen = reference.read(layer)
        for order in ("temporal", "physical"):
            expected_now = expected_view(cache, reference, layer, seen, order)
            assert_view_shows(cache.read(layer, order=order), expected_now, cache, layer)


def assert_slots(cache: Any, layer: int, positions: list[int]) -> None:
    """Every resident row has a slot of its own: the one that its mode gives it, where it does."""
    mode = cache.config.layers[layer].strategy
    slots, head = cache.slots(layer).tolist(), cache.rings[layer].head
    assert cache.slots(layer).dtype == np.int64
    assert len(slots) == len(set(slots)) == len(positions) == cache.rings[layer].length
    assert all(0 <= slot < mode.capacity for slot in slots)
    if isinstance(mode, Append):
        assert slots == positions  # law 2
    if isinstance(mode, Circular):  # law 3
        sink_tokens, ring_rows = mode.sink_tokens, mode.window + mode.rollback_tokens
        assert slots == [
            p if p < sink_tokens else sink_tokens + (p - sink_tokens) % ring_rows for p in positions
        ]
        if len(slots) > sink_tokens:
            assert head == slots[sink_tokens]


def assert_stale(view: Any) -> None:
    """Whichever way the view is used."""
    uses = {
        "keys": lambda: view.keys,
        "values": lambda: view.values,
        "unpacking": lambda: tuple(view),
        "segments": lambda: view.segments,
        "positions": lambda: view.positions,
        "mask": lambda: view.mask(),
        "copy": lambda: view.copy(),
    }
    for name, use in uses.items():
        refused, _ = outcome(use)
        assert refused is StaleViewError, f"{name} of a view whose layer has changed"


def assert_copy_shows(copy: Any, expected: Expected, cache: Any, layer: int) -> None:
    """A copy of a view has arrays of its own with the same rows, positions and mask."""
    keys, values = copy
    assert_memory(keys, values, cache, layer, zero_copy=False)
    names = token_names(keys, values, cache.config.layout)
    for name, position in zip(names, expected.positions, strict=True):
        assert position == -1 or name == expected.names[position]
    assert_positions(copy.positions, expected.positions)
    for attended, visible in zip(copy.mask(), expected.visible, strict=True):
        seen = [expected.positions[row] for row in np.flatnonzero(attended)]
        assert sorted(seen) == [position for position, _ in visible]


@dataclass
class Pair:
    """A cache, the reference beside it, and the views of it that are still good."""

    cache: Any
    reference: ReferenceCache
    views: list[tuple[int, Any, Expected, bool]] = field(default_factory=list)

    def compare(self) -> None:
        """Everything that may be looked at shows what it should."""
        self.cache.check()
        poison(self.cache)
        for layer, view, expected, looked_at in self.views:
            if looked_at:
                assert_view_shows(view, expected, self.cache, layer)
        assert_same_state(self.cache, self.reference)

    def expire(self, layers: Iterable[int]) -> None:
        """`layers` have changed: their views are stale, those of the others are not."""
        changed = set(layers)
        for layer, view, _, _ in self.views:
            if layer in changed:
                assert_stale(view)
        self.views = [kept for kept in self.views if kept[0] not in changed]


def outcome(call: Callable[[], Any]) -> tuple[type[KVRingError] | None, Any]:
    """The class of the error that `call` raises, or what it returns."""
    try:
        return None, call()
    except KVRingError as error:
        return type(error), None


def refuse(error: type[KVRingError], call: Callable[[], Any]) -> None:
    """`call` raises exactly the class that the reference raised."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
