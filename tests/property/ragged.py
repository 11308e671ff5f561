"""Does a cache whose batch rows go apart show what the reference says, in each of them?"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring.reference import ReferenceCache, ReferenceView
from tests.property.apart import names_apart, of_batch_row
from tests.property.comparing import outcome


def assert_shows_ragged(
    view: Any,
    seen: ReferenceView,
    cache: Any,
    layer: int,
    tokens: int,
    padding: str = "right",
    *,
    lines: bool,
) -> None:
    """Rows, positions, mask and evicted positions: of all, and of each batch row by itself.

    `lines` says that positions must have a line for each batch row.
    """
    for shown in (view, view.copy()):
        keys, values = shown
        assert not keys.flags.writeable
        assert not values.flags.writeable
        names = names_apart(keys, values, cache.layout)
        assert shown.positions.ndim == 2 or not lines
        assert shown.mask().ndim == shown.positions.ndim + 1
        for batch_row, of_row in enumerate(names):
            expected = seen.batch_row(batch_row)
            assert_side_by_side(shown, expected, batch_row, of_row, tokens, padding)
            assert_alone(shown.batch_row(batch_row), expected, cache)
            assert_alone(shown.batch_row(batch_row).copy(), expected, cache)
    pieces = view.segments
    assert 1 <= len(pieces) <= 3
    ring = cache.rings[layer]
    if view.order == "physical" and any(seen.batch_row(b).visible for b in range(cache.batch)):
        (pair,) = pieces
        if not view._plan.assembled and pair[0].nbytes:
            assert np.shares_memory(pair[0], ring._keys)
            assert np.shares_memory(pair[1], ring._values)
    axis = ring.token_axis
    for number, whole in enumerate(view):
        joined = np.concatenate([piece[number] for piece in pieces], axis)
        assert joined.tobytes() == whole.tobytes()


def assert_side_by_side(
    view: Any, expected: ReferenceView, batch_row: int, names: list[bytes], tokens: int, side: str
) -> None:
    """One batch row as the arrays of all of them have it, with padding."""
    positions = of_batch_row(view.positions, batch_row, 1).tolist()
    held = [p for p in positions if p >= 0]
    if view.order == "temporal" or not expected.visible:
        if view.order == "temporal":
            assert positions == [-1] * (len(positions) - len(held)) + expected.positions
        for position, name in zip(positions, names, strict=True):
            if view.order == "temporal":
                assert position >= 0 or not any(name)  # padding is zeros
    else:
        assert set(expected.positions) <= set(held)
    mask = of_batch_row(view.mask(), batch_row, 2)
    nothing: list[Any] = [[]] * (tokens - len(expected.visible))
    visible = [*expected.visible, *nothing] if side == "right" else [*nothing, *expected.visible]
    assert mask.shape == (len(visible), len(positions))
    for attended, entries in zip(mask, visible, strict=True):
        rows = np.flatnonzero(attended)
        assert sorted((positions[row], names[row]) for row in rows) == entries
    evicted = of_batch_row(view.evicted, batch_row, 1).tolist()
    assert evicted == [-1] * (len(evicted) - len(expected.evicted)) + expected.evicted


def assert_alone(part: Any, expected: ReferenceView, cache: Any) -> None:
    """A batch row's own view: batch 1, no padding."""
    keys, values = part
    (names,) = names_apart(keys, values, cache.layout)
    positions = part.positions.tolist()
    assert len(positions) == len(names) == part.row_count
    if part.order == "temporal" or not expected.visible:
        assert positions == expected.positions
    assert part.mask().shape == (len(expected.visible), len(positions))
    for attended, visible in zip(part.mask(), expected.visible, strict=True):
        rows = np.flatnonzero(attended)
        assert sorted((positions[row], names[row]) for row in rows) == visible
    assert part.evicted.tolist() == expected.evicted
    axis = 1 if cache.layout == "BSHD" else 2
    for number, whole in enumerate(part):
        joined = np.concatenate([piece[number] for piece in part.segments], axis)
        assert joined.tobytes() == whole.tobytes()


def assert_ragged_state(cache: Any, reference: ReferenceCache) -> None:
    """All counters, and what every layer holds and shows in every batch row."""
    assert cache.seq_lens.tolist() == reference.seq_lens
    assert cache.lengths.tolist() == reference.lengths
    assert cache.seq_lens.dtype == cache.lengths.dtype == np.int64
    assert outcome(lambda: cache.seq_len) == outcome(lambda: reference.seq_len)
    assert cache.length == reference.length
    assert cache.room == reference.room
    for layer in range(cache.layers):
        positions, slots = cache.positions(layer), cache.slots(layer)
        for batch_row in range(cache.batch):
            held = of_batch_row(positions, batch_row, 1).tolist()
            at = of_batch_row(slots, batch_row, 1).tolist()
            assert [p for p in held if p >= 0] == reference.positions(layer, batch_row)
            assert [p < 0 for p in held] == [slot < 0 for slot in at]
            assert len(set(at) - {-1}) == reference.lengths[layer][batch_row]
        for order in ("temporal", "physical"):
            view = cache.read(layer, order=order)
            assert_shows_ragged(view, reference.read(layer), cache, layer, 1, lines=False)
