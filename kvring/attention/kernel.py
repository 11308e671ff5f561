"""Attention over rows where they lie: online softmax in blocks, each row read once for all queries.

A span is a run of rows with consecutive positions; what a query sees of a span is one stretch, so
rows that it does not see are never looked at, whatever is in them. For every block of rows, three
passes: *score* (q . k), *weigh* (exp, against the largest score so far), *add* (weights times V).
Rows are read in the order in which they lie in memory, and fetched some rows ahead.

Scores and sums are float32, whatever the storage. The order of a sum is the compiler's, so the last
digits may differ between machines and versions, never from call to call.

Worked example of a block, one query, values 1-D: scores [1, 3] after a top of 2 with total 1.5 and
sum a: the top becomes 3, total ``1.5 exp(-1) + exp(-2) + 1``, sum ``a exp(-1) + exp(-2) v0 + v1``.
"""

from __future__ import annotations

import math

import numpy as np

from .. import _jit
from .._jit import rows_at, word_bytes
from .._jit_floats import fetch_ahead, number
from .tiles import (
    BLOCK_ROWS,
    TILE_TOKENS,
    ZERO,
    F,
    Floats,
    Ints,
    Tile,
    Words,
    begin,
    exp,
    finish,
    keep,
    new_tile,
    row_of,
    stretches,
)

__all__ = ["attend_rows"]

ROWS_AHEAD = 16
LINE_BYTES = 64


@_jit.adding_helper
def _fetch(rows: Words, row: int, head: int, tile: Tile) -> None:
    """Have one KV head of a row fetched that is some rows ahead, even past the end."""
    at = rows.ctypes.data + tile.b * rows.strides[0] + row * rows.strides[tile.token_axis]
    at += head * rows.strides[3 - tile.token_axis]
    for line in range(0, rows.shape[3] * word_bytes(rows), LINE_BYTES):
        fetch_ahead(at + line)


@_jit.adding_helper
def _score_two(first: Words, second: Words, r: int, s: int, i: int, last: int, tile: Tile) -> None:
    """Scores of two rows for queries i to i + 3: each key and query is loaded once for many.

    Beyond `last` the last query is taken again: cheaper than a loop of another shape.
    """
    i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
    q0, q1, q2, q3 = tile.asked[i], tile.asked[i1], tile.asked[i2], tile.asked[i3]
    x0 = x1 = x2 = x3 = y0 = y1 = y2 = y3 = ZERO
    for d in range(len(first)):
        k, m = number(first[d]), number(second[d])
        x0 += k * q0[d]
        x1 += k * q1[d]
        x2 += k * q2[d]
        x3 += k * q3[d]
        y0 += m * q0[d]
        y1 += m * q1[d]
        y2 += m * q2[d]
        y3 += m * q3[d]
    part = tile.part
    part[i, r], part[i1, r], part[i2, r], part[i3, r] = x0, x1, x2, x3
    part[i, s], part[i1, s], part[i2, s], part[i3, s] = y0, y1, y2, y3


@_jit.adding_helper
def _score(keys: Words, start: int, a: int, z: int, tile: Tile) -> None:
    """Scores of rows ``start + a .. start + z - 1`` for all queries, in the order of memory."""
    kv_heads, pairs = len(tile.asked) // tile.per_head, (z - a + 1) // 2
    outer, inner = (pairs, kv_heads) if tile.token_axis == 1 else (kv_heads, pairs)
    for x in range(outer):
        for y in range(inner):
            pair, h = (x, y) if tile.token_axis == 1 else (y, x)
            r, head = a + 2 * pair, tile.first_head + h
            s = min(r + 1, z - 1)
            _fetch(keys, start + r + ROWS_AHEAD, head, tile)
            _fetch(keys, start + s + ROWS_AHEAD, head, tile)
            first, second = row_of(keys, start + r, head, tile), row_of(keys, start + s, head, tile)
            for i in range(h * tile.per_head, (h + 1) * tile.per_head, 4):
                _score_two(first, second, r, s, i, (h + 1) * tile.per_head - 1, tile)


@_jit.adding_helper
def _cap(tile: Tile, softcap: float) -> None:
    """No score is further from 0 than `softcap`."""
    for i in range(len(tile.part)):
        for r in range(tile.lows[i % tile.per_head], tile.highs[i % tile.per_head]):
            tile.part[i, r] = F(softcap * math.tanh(tile.part[i, r] / softcap))


@_jit.adding_helper
def _weigh(tile: Tile) -> None:
    """Scores become weights against the new top; what was summed before is scaled to it."""
    for i in range(len(tile.part)):
        before = tile.top[i]
        # A slice, whose loops begin at 0: only then does LLVM know that no index is negative.
        row = tile.part[i, tile.lows[i % tile.per_head] : tile.highs[i % tile.per_head]]
        top = before
        for r in range(len(row)):
            top = row[r] if row[r] > top else top
        if top > before:
            shrink = exp(before - top) if before > -np.inf else ZERO
            tile.top[i] = top
            tile.total[i] *= shrink
            for d in range(tile.sums.shape[1]):
                tile.sums[i, d] *= shrink
        against = top if top > -np.inf else ZERO  # otherwise all are -inf or NaN
        weight = ZERO
        for r in range(len(row)):
            row[r] = exp(row[r] - against)
            weight += row[r]
        tile.total[i] += weight


@_jit.adding_helper
def _add_eight(
    values: Words, row: int, head: int, weight: Floats, into: Floats, tile: Tile
) -> None:
    """``into += weight[0 .. 7] . V[row .. row + 7]``: one pass over the sum for eight rows."""
    v0, v1 = row_of(values, row, head, tile), row_of(values, row + 1, head, tile)
    v2, v3 = row_of(values, row + 2, head, tile), row_of(values, row + 3, head, tile)
    v4, v5 = row_of(values, row + 4, head, tile), row_of(values, row + 5, head, tile)
    v6, v7 = row_of(values, row + 6, head, tile), row_of(values, row + 7, head, tile)
    p0, p1, p2, p3 = weight[0], weight[1], weight[2], weight[3]
    p4, p5, p6, p7 = weight[4], weight[5], weight[6], weight[7]
    for d in range(len(into)):
        x = p0 * number(v0[d]) + p1 * number(v1[d]) + p2 * number(v2[d]) + p3 * number(v3[d])
        y = p4 * number(v4[d]) + p5 * number(v5[d]) + p6 * number(v6[d]) + p7 * number(v7[d])
        into[d] += x + y


@_jit.adding_helper
def _add_some(values: Words, start: int, low: int, high: int, i: int, tile: Tile) -> None:
    """The same for fewer than eight rows, one at a time."""
    head = tile.first_head + i // tile.per_head
    for r in range(low, high):
        value, weight, into = row_of(values, start + r, head, tile), tile.part[i, r], tile.sums[i]
        for d in range(len(into)):
            into[d] += weight * number(value[d])


@_jit.adding_helper
def _add(values: Words, start: int, a: int, z: int, tile: Tile) -> None:
    """Weights times values of rows ``start + a .. start + z - 1``, in the order of memory."""
    kv_heads, eights = len(tile.sums) // tile.per_head, (z - a + 7) // 8
    outer, inner = (eights, kv_heads) if tile.token_axis == 1 else (kv_heads, eights)
    for x in range(outer):
        for y in range(inner):
            eight, h = (x, y) if tile.token_axis == 1 else (y, x)
            r, head = a + 8 * eight, tile.first_head + h
            for ahead in range(ROWS_AHEAD, ROWS_AHEAD + 8):
                _fetch(values, start + r + ahead, head, tile)
            for n in range(tile.per_head):
                i, low, high = (
                    h * tile.per_head + n,
                    max(tile.lows[n], r),
                    min(tile.highs[n], r + 8),
                )
                if high - low == 8:
                    weight, into = tile.part[i, r : r + 8], tile.sums[i]
                    _add_eight(values, start + r, head, weight, into, tile)
                else:
                    _add_some(values, start, low, high, i, tile)


@_jit.adding_helper
def _attend_tile(
    keys: Words,
    values: Words,
    spans: Ints,
    scores: Floats,
    softcap: float,
    query: int,
    tile: Tile,
) -> None:
    """One tile of queries over all spans, block by block."""
    for span in range(len(spans)):
        slot, position, rows, column, window = spans[span]
        for block in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - block)
            stretches(tile, query, position + block, count, window)
            a, z = tile.lows.min(), tile.highs.max()
            if a < z:
                _score(keys, slot + block, a, z, tile)
                if softcap > 0:
                    _cap(tile, softcap)
                if scores.size:
                    keep(scores, column + block, tile)
                _weigh(tile)
                _add(values, slot + block, a, z, tile)


def attend_rows(
    query: Floats,
    keys: Words,
    values: Words,
    spans: Ints,
    sink_logits: Floats,
    out: Floats,
    lse: Floats,
    scores: Floats,
    scratch: Floats,
    scale: float,
    softcap: float,
    first_query: int,
    token_axis: int,
    start: int,
    stop: int,
    first_token: int,
    stop_token: int,
) -> int:
    """Attention for KV heads ``start .. stop - 1``, counted through the batch, into `out`.

    Queries are tokens ``first_token .. stop_token - 1``, the first one at position `first_query`.

    ``spans[n]`` is (slot, position, rows, column of `scores`, window or 0). `lse` and `scores` may
    be empty. Unchecked: the caller guarantees shapes, slots, columns and `scratch_floats`. Heads of
    one batch row are taken together, because their rows lie side by side.
    """
    stored_keys = rows_at(keys.ctypes.data, keys.shape, keys)
    stored_values = rows_at(values.ctypes.data, values.shape, values)
    kv_heads = keys.shape[3 - token_axis]
    group = query.shape[3 - token_axis] // kv_heads
    for b in range(start // kv_heads, (stop + kv_heads - 1) // kv_heads):
        head = max(start - b * kv_heads, 0)
        heads_here = min(stop - b * kv_heads, kv_heads) - head
        for token in range(first_token, stop_token, TILE_TOKENS):
            shape = (group, min(TILE_TOKENS, stop_token - token), keys.shape[3], values.shape[3])
            tile = new_tile(b, head, heads_here, token, shape, token_axis, spans, scratch)
            begin(query, scale, sink_logits, tile)
            at = first_query + token - first_token
            _attend_tile(stored_keys, stored_values, spans, scores, softcap, at, tile)
            finish(out, lse, tile)
    return 0
