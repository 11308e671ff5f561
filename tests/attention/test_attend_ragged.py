"""attend where batch rows go apart: each as if it were alone, and nothing for padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import FIFO, Append, Circular, Replace, attend
from kvring.reference import ReferenceView
from tests.attention.twin import Pair, attention64
from tests.support import poison

MODES = [Append(40), Circular(4, 1, 2), Replace(12), Append(9, eviction=FIFO(), sink_tokens=1)]


def update(pair: Pair, counts: list[int], tokens: int, padding: Any, order: Any) -> Any:
    """A ragged update of both; a row of the reference is that of its own batch row."""
    keys, values = pair.new_rows(tokens)
    wide = [np.moveaxis(a.astype(np.float64), pair.axis, 1) for a in (keys, values)]
    rows = [
        [(k[None], v[None]) for k, v in zip(*of, strict=True)] for of in zip(*wide, strict=True)
    ]
    seen = pair.reference.update(0, rows, token_counts=counts, padding=padding)
    options = {"order": order, "token_counts": counts, "padding": padding}
    view = pair.cache.update(0, keys, values, **options)
    pair.cache.check()
    poison(pair.cache)
    return view, seen


def assert_attends(got: Any, query: Any, seen: ReferenceView) -> None:
    """Output and log-sum-exp of one batch row, ``(1, queries, query_heads, ...)``."""
    twin = attention64(query, seen, scale=query.shape[3] ** -0.5)
    output, _, lse = got
    assert (np.abs(output - twin.output) <= twin.allowed).all()
    finite = np.isfinite(twin.lse)
    assert (np.isneginf(lse) == ~finite).all()
    assert (np.abs(lse[finite] - twin.lse[finite]) <= 1e-5 * (8 + np.abs(twin.lse[finite]))).all()


def check(pair: Pair, view: Any, seen: ReferenceView, tokens: int, padding: str) -> None:
    """All batch rows in one call, and each through a view of its own."""
    query = pair.query(tokens, 2)
    threads = int(pair.rng.integers(1, 3))
    got = attend(query, view, weights=True, lse=True, threads=threads)
    copied = attend(query, view.copy(), weights=True, lse=True)
    for one, other in zip(got, copied, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    asked, found = np.swapaxes(query, 1, pair.axis), [np.swapaxes(a, 1, pair.axis) for a in got]
    for batch_row in range(pair.cache.batch):
        expected = seen.batch_row(batch_row)
        count = len(expected.visible)
        first = 0 if padding == "right" else tokens - count
        which = slice(batch_row, batch_row + 1), slice(first, first + count)
        mine = [array[which] for array in found]
        if count:
            assert_attends(mine, asked[which], expected)
            alone = np.swapaxes(np.ascontiguousarray(asked[which]), 1, pair.axis)
            for part in (view.batch_row(batch_row), view.copy().batch_row(batch_row)):
                for own in (part, part.copy()):
                    answer = attend(alone, own, weights=True, lse=True)
                    turned = [np.swapaxes(a, 1, pair.axis) for a in answer]
                    assert_attends(turned, asked[which], expected)
        weights = np.broadcast_to(view.positions, (pair.cache.batch, view.row_count))[batch_row] < 0
        assert not mine[1][..., weights].any()
        others = np.ones(tokens, bool)
        others[which[1]] = False
        assert not found[0][batch_row, others].any()
        assert not found[1][batch_row, others].any()
        assert np.isneginf(found[2][batch_row, others]).all()


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_each_batch_row_is_attended_to_as_if_it_were_alone(mode: Any, layout: str) -> None:
    rng = np.random.default_rng(7)
    pair = Pair(rng, mode, batch=3, kv_heads=2, head_dim=4, layout=layout)
    for tokens, counts in (
        (5, [5, 2, 0]),
        (1, [1, 1, 1]),
        (2, [0, 2, 1]),
        (8, [1, 8, 6]),
        (1, [0, 1, 1]),
        (3, [3, 3, 3]),
    ):
        padding, order = rng.choice(["right", "left"]), rng.choice(["temporal", "physical"])
        view, seen = update(pair, counts, tokens, str(padding), str(order))
        check(pair, view, seen, tokens, str(padding))
        read = pair.cache.read(0, order=str(order))
        check(pair, read, pair.reference.read(0), 1, "right")


def test_a_batch_of_one_may_be_padded_too() -> None:
    pair = Pair(np.random.default_rng(8), Circular(4, 1), kv_heads=2, head_dim=4)
    for padding in ("left", "right"):
        view, seen = update(pair, [2], 5, padding, "temporal")
        check(pair, view, seen, 5, padding)
