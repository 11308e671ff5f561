"""Rows as stretches: whatever their order, attention sees each row that the mask shows, once."""

from __future__ import annotations

import numpy as np
import pytest

from kvring.spans import spans_of
from tests.support import Array


def seen_by(spans: Array, query: int) -> list[tuple[int, int]]:
    """(row, position) of all that a query may attend to, as the kernel takes a span."""
    return sorted(
        (row + n, position + n)
        for row, position, rows, _, window in spans.tolist()
        for n in range(rows)
        if position + n <= query and (window == 0 or position + n > query - window)
    )


@pytest.mark.parametrize("seed", range(50))
def test_rows_in_any_order_are_seen_as_the_mask_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens, window, sink_tokens = int(rng.integers(1, 30)), int(rng.integers(0, 9)), 3
    positions = np.arange(tokens, dtype=np.int64)
    if seed % 2:  # otherwise long runs of neighbours
        rng.shuffle(positions)
    positions = np.roll(positions, int(rng.integers(tokens)))
    positions[rng.random(tokens) < 0.2] = -1
    spans = spans_of(positions, window, sink_tokens)
    assert (spans[:, 0] == spans[:, 3]).all()
    for query in range(tokens):
        expected = [
            (row, position)
            for row, position in enumerate(positions.tolist())
            if 0 <= position <= query
            and (window == 0 or position < sink_tokens or position > query - window)
        ]
        assert seen_by(spans, query) == expected


def test_no_rows_make_no_spans() -> None:
    for positions in ([], [-1, -1]):
        assert spans_of(np.array(positions, np.int64), 4, 1).shape == (0, 5)
