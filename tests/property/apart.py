"""Does a cache with eviction show what the reference says, in each batch row?"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring.reference import ReferenceCache, ReferenceView
from tests.support import Array, token_axis


def names_apart(keys: Array, values: Array, layout: Any) -> list[list[bytes]]:
    """For each batch row, the name of each token: the bytes of its K and V there."""
    axis = token_axis(layout) - 1
    pairs = [[np.moveaxis(array, axis, 0) for array in pair] for pair in zip(keys, values)]  # noqa: B905
    return [[k.tobytes() + v.tobytes() for k, v in zip(*pair, strict=True)] for pair in pairs]


def of_batch_row(array: Array, batch_row: int, axes: int) -> Array:
    """What an array says of one batch row; without an axis for them it says it of all."""
    return array if array.ndim == axes else array[batch_row]


def assert_shows(view: Any, seen: ReferenceView, cache: Any, layer: int) -> None:
    """Rows, positions, mask, evicted positions and segments of `view`, in every batch row."""
    keys, values = view
    assert not keys.flags.writeable
    assert not values.flags.writeable
    names = names_apart(keys, values, cache.layout)
    apart = False
    for batch_row, of_row in enumerate(names):
        expected = seen.batch_row(batch_row)
        positions = of_batch_row(view.positions, batch_row, 1).tolist()
        evicted = of_batch_row(view.evicted, batch_row, 1).tolist()
        assert evicted == expected.evicted
        assert len(positions) == len(of_row) == view.row_count
        if view.order == "temporal" or not expected.visible:
            assert positions == expected.positions
        else:
            assert sorted(p for p in positions if p >= 0) == expected.positions
        mask = of_batch_row(view.mask(), batch_row, 2)
        assert mask.shape == (len(expected.visible), len(of_row))
        for attended, visible in zip(mask, expected.visible, strict=True):
            rows = np.flatnonzero(attended)
            assert sorted((positions[row], of_row[row]) for row in rows) == visible
        apart |= positions != of_batch_row(view.positions, 0, 1).tolist()
    assert (view.positions.ndim == 2) == apart
    (segment,) = view.segments
    assert segment[0].tobytes() == keys.tobytes()
    if view.order == "physical" and seen.visible and keys.nbytes:
        assert np.shares_memory(keys, cache.rings[layer]._keys)
    assert view.keys.tobytes() == keys.tobytes()
    assert view.values.tobytes() == values.tobytes()


def assert_layers_same(cache: Any, reference: ReferenceCache) -> None:
    """All counters, and what every layer holds and shows in every batch row."""
    assert cache.seq_lens.tolist() == reference.seq_lens
    assert cache.lengths.tolist() == reference.lengths
    assert (cache.seq_len, cache.length) == (reference.seq_len, reference.length)
    assert cache.room == reference.room
    for layer in range(cache.layers):
        positions, slots = cache.positions(layer), cache.slots(layer)
        for batch_row in range(cache.batch):
            held = of_batch_row(positions, batch_row, 1).tolist()
            at = of_batch_row(slots, batch_row, 1).tolist()
            assert held == reference.positions(layer, batch_row)
            assert len(set(at)) == len(held)
            assert all(0 <= slot < cache.rings[layer].capacity for slot in at)
        if cache.config.layers[layer].strategy.eviction is not None:
            for order in ("temporal", "physical"):
                assert_shows(cache.read(layer, order=order), reference.read(layer), cache, layer)
