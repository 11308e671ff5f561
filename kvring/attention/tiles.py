"""A tile: queries that share one pass over the rows, with what they have summed so far.

It lies in scratch memory that the caller brings, as arrays at addresses: an array that counts its
references costs an atomic operation wherever a function takes it out of a tuple.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _jit
from .._jit import rows_at
from .._jit_floats import bits_of, join_bits

__all__ = [
    "BLOCK_ROWS",
    "TILE_TOKENS",
    "ZERO",
    "F",
    "Floats",
    "Ints",
    "Tile",
    "Words",
    "begin",
    "exp",
    "finish",
    "keep",
    "new_tile",
    "row_of",
    "scratch_floats",
    "stretches",
]

Words: TypeAlias = NDArray[Any]
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]

BLOCK_ROWS = 32
TILE_TOKENS = 8  # queries of a chunk that share a pass over the rows

F = np.float32
LOG2_E, TO_INTEGER = F(1.4426950408889634), F(12582912.0)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)
# exp(r) on |r| <= ln(2) / 2: the coefficients of Cephes' expf.
E6, E5, E4 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
E3, E2, E1 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
ONE, ZERO, LEAST = F(1.0), F(0.0), F(-87.0)


@_jit.adding_helper
def exp(x: Any) -> Any:
    """exp(x) for x <= 0, to about one unit in the last place; 0 below -87. NaN stays NaN.

    ``2 ** n * exp(r)``; adding 1.5 * 2 ** 23 rounds to n and leaves it in the low bits.
    """
    held = LEAST if x < LEAST else x
    shifted = held * LOG2_E + TO_INTEGER
    n = shifted - TO_INTEGER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = (((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + E1) * r * r + r + ONE
    power = join_bits((bits_of(shifted) - bits_of(TO_INTEGER) + np.int32(127)) << np.int32(23))
    found = p * power
    return ZERO if x < LEAST else found


class Tile(NamedTuple):
    """Queries that share a pass over the rows, and how far they have come.

    They are counted KV head by KV head, ``per_head`` each: token by token, and for each token the
    ``group`` query heads of that KV head.
    """

    b: int  # batch row
    first_head: int  # KV head
    first_token: int
    group: int
    per_head: int
    token_axis: int
    asked: Floats  # (queries, head_dim), scaled
    part: Floats  # (queries, BLOCK_ROWS): scores, then weights
    top: Floats  # (queries,): largest score so far
    total: Floats  # (queries,): weights so far, relative to the top
    sums: Floats  # (queries, value_dim): weighted values so far
    lows: Ints  # (per_head,): first row of the block that a query sees
    highs: Ints  # (per_head,): the row after the last


@_jit.adding_helper
def row_of(rows: Words, row: int, head: int, tile: Tile) -> Words:
    """One KV head of one row, ``(dim)``."""
    x, y = (row, head) if tile.token_axis == 1 else (head, row)
    found: Words = rows[tile.b, x, y]
    return found


@_jit.adding_helper
def _place(tile: Tile, i: int) -> tuple[int, int]:
    """Where query i lies on axes 1 and 2 of query and output."""
    n = i % tile.per_head
    token = tile.first_token + n // tile.group
    head = (tile.first_head + i // tile.per_head) * tile.group + n % tile.group
    return (token, head) if tile.token_axis == 1 else (head, token)


@_jit.adding_helper
def begin(query: Floats, scale: float, sink_logits: Floats, tile: Tile) -> None:
    """Queries scaled and side by side; a sink logit is a score that has no value."""
    for i in range(len(tile.asked)):
        x, y = _place(tile, i)
        for d in range(tile.asked.shape[1]):
            tile.asked[i, d] = F(query[tile.b, x, y, d] * scale)
        head = y if tile.token_axis == 1 else x
        tile.top[i] = sink_logits[head] if len(sink_logits) else F(-np.inf)
        tile.total[i] = ONE if len(sink_logits) else ZERO
        if np.isnan(tile.top[i]):  # in the total it stays; as a top, no score would be above it
            tile.top[i], tile.total[i] = F(-np.inf), tile.top[i]
        for d in range(tile.sums.shape[1]):
            tile.sums[i, d] = ZERO


@_jit.adding_helper
def stretches(tile: Tile, query: int, position: int, rows: int, window: int) -> None:
    """Which of `rows` rows from `position` on each query sees: one stretch.

    `query` is the position of the tile's first. A window of 0 is none: all up to the query.
    """
    for n in range(tile.per_head):
        behind = query + n // tile.group - position
        tile.highs[n] = min(max(behind + 1, 0), rows)
        oldest = behind + 1 - window if window > 0 else 0
        tile.lows[n] = min(max(oldest, 0), tile.highs[n])


@_jit.adding_helper
def keep(scores: Floats, column: int, tile: Tile) -> None:
    """Copy the block's scores out, before they become weights."""
    for i in range(len(tile.part)):
        x, y = _place(tile, i)
        for r in range(tile.lows[i % tile.per_head], tile.highs[i % tile.per_head]):
            scores[tile.b, x, y, column + r] = tile.part[i, r]


@_jit.adding_helper
def finish(out: Floats, lse: Floats, tile: Tile) -> None:
    """Sums over totals, and log-sum-exp; zeros and -inf for a query that saw nothing."""
    for i in range(len(tile.sums)):
        x, y = _place(tile, i)
        total = tile.total[i]
        share = ZERO if total == ZERO else ONE / total
        for d in range(tile.sums.shape[1]):
            out[tile.b, x, y, d] = tile.sums[i, d] * share
        if len(lse):
            seen = tile.top[i] + F(math.log(total)) if total != ZERO else F(-np.inf)
            lse[tile.b, x, y] = seen


def scratch_floats(kv_heads: int, tokens: int, group: int, head_dim: int, value_dim: int) -> int:
    """How many float32 of scratch memory `attend_rows` needs for so many KV heads."""
    count = min(tokens, TILE_TOKENS) * group
    return 4 * count + kv_heads * count * (head_dim + BLOCK_ROWS + value_dim + 2)


@_jit.adding_helper
def new_tile(
    b: int,
    head: int,
    kv_heads: int,
    token: int,
    shape: tuple[int, int, int, int],
    axis: int,
    like: Ints,
    scratch: Floats,
) -> Tile:
    """A tile in scratch memory; `shape`: query heads per KV head, tokens, head_dim, value_dim."""
    group, tokens, head_dim, value_dim = shape
    count = tokens * group
    queries = kv_heads * count
    ints = scratch.ctypes.data
    asked = ints + 16 * count
    part = asked + 4 * queries * head_dim
    sums = part + 4 * queries * BLOCK_ROWS
    top = sums + 4 * queries * value_dim
    return Tile(
        b,
        head,
        token,
        group,
        count,
        axis,
        rows_at(asked, (queries, head_dim), scratch),
        rows_at(part, (queries, BLOCK_ROWS), scratch),
        rows_at(top, (queries,), scratch),
        rows_at(top + 4 * queries, (queries,), scratch),
        rows_at(sums, (queries, value_dim), scratch),
        rows_at(ints, (count,), like),
        rows_at(ints + 8 * count, (count,), like),
    )
