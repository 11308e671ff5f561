"""WHAT moves where a view is assembled: old rows into the view, new ones into slots and the view.

In one pass over the slots: an old row is taken away just before a new one takes its place, while
both are in the processor's first caches. Two passes, the view first and then the slots, take a
third longer, since a chunk and its view are larger than those caches.
"""

from __future__ import annotations

from . import _jit
from ._jit import move_bytes, rows_at, word_bytes
from .kernels import (
    ADMITTED,
    DONE,
    KEYS_AT,
    NOT_ADMITTED,
    TOKEN_AXIS,
    VALUES_AT,
    Ints,
    Words,
    in_range,
    move_run,
    record,
    refusal,
    rows_touch,
    storage,
)

__all__ = ["put_assembled"]

# Moved at a time: the old rows, the new ones, and both of their targets fit into 512 KiB.
BLOCK_BYTES = 1 << 15


@_jit.helper
def _address(array: Words, b: int, x: int, y: int) -> int:
    return array.ctypes.data + b * array.strides[0] + x * array.strides[1] + y * array.strides[2]


@_jit.helper
def _copy(target: Words, to: int, source: Words, start: int, rows: int, token_axis: int) -> None:
    """``target[:, to : to + rows] = source[:, start : start + rows]``, along the token axis.

    Unchecked: both have the rows, and the same axes besides; the target is contiguous.
    """
    in_range(source, start + rows - 1, token_axis)
    if rows_touch(source, token_axis):
        move_run(target, to, source, start, rows, token_axis)
    else:
        in_range(target, to + rows - 1, token_axis)
        head_bytes = source.shape[3] * word_bytes(source)
        kv_heads = source.shape[3 - token_axis]
        for stretch in range(source.shape[0] * rows * kv_heads):
            b, rest = stretch // (rows * kv_heads), stretch % (rows * kv_heads)
            t, head = rest // kv_heads, rest % kv_heads
            x, y = (to + t, head) if token_axis == 1 else (head, to + t)
            j, k = (start + t, head) if token_axis == 1 else (head, start + t)
            move_bytes(_address(target, b, x, y), _address(source, b, j, k), head_bytes)


@_jit.helper
def _assemble(
    stored: Words, shown: Words, source: Words, pieces: Ints, kept: int, token_axis: int
) -> None:
    """Old rows of `pieces` into the view, new ones behind the `kept` old ones and into slots."""
    row_bytes = source.shape[0] * source.shape[3 - token_axis] * source.shape[3]
    row_bytes *= word_bytes(source)
    most = max(BLOCK_BYTES // row_bytes, 1)
    for p in range(pieces.shape[0]):
        shown_at, slot, token = pieces[p, 0], pieces[p, 1], pieces[p, 3]
        for start in range(0, pieces[p, 2], most):
            rows = min(most, pieces[p, 2] - start)
            if shown_at >= 0:
                _copy(shown, shown_at + start, stored, slot + start, rows, token_axis)
            if token >= 0:
                if slot >= 0:
                    _copy(stored, slot + start, source, token + start, rows, token_axis)
                _copy(shown, kept + token + start, source, token + start, rows, token_axis)


@_jit.helper
def _view_at(address: int, like: Words, tokens: int, token_axis: int) -> Words:
    """K or V of the view: as the storage, but of so many tokens."""
    if token_axis == 1:
        shape = (like.shape[0], tokens, like.shape[2], like.shape[3])
    else:
        shape = (like.shape[0], like.shape[1], tokens, like.shape[3])
    return rows_at(address, shape, like)


def put_assembled(
    block: Ints,
    keys: Words,
    values: Words,
    ticket: int,
    evicted: int,
    pieces: Ints,
    kept: int,
    count: int,
    keys_shown_at: int,
    values_shown_at: int,
) -> int:
    """What `put_rows` does with `count` tokens, and the view of `kept` old rows and all new ones.

    Unchecked: the strategy guarantees that `pieces` are as `assembly.pieces_of` says, with slots
    of the storage, none of them twice; the addresses are those of new arrays of that many tokens.
    """
    token_axis = block[TOKEN_AXIS]
    keys_target = storage(block, KEYS_AT, keys)
    values_target = storage(block, VALUES_AT, values)
    code = refusal(keys_target, values_target, keys, values, token_axis, count)
    written = 0
    for p in range(pieces.shape[0]):
        if pieces[p, 1] >= 0 and pieces[p, 3] >= 0:
            written += pieces[p, 2]
            if code == DONE and pieces[p, 1] + pieces[p, 2] > block[ADMITTED]:
                code = NOT_ADMITTED
    if code == DONE:
        keys_shown = _view_at(keys_shown_at, keys_target, kept + count, token_axis)
        values_shown = _view_at(values_shown_at, values_target, kept + count, token_axis)
        _assemble(keys_target, keys_shown, keys, pieces, kept, token_axis)
        _assemble(values_target, values_shown, values, pieces, kept, token_axis)
        batch = keys.shape[0]
        assembled = (kept + count) * batch
        record(block, ticket, count * batch, written * batch, evicted * batch, assembled)
    return code
