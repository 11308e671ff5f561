"""WHAT moves: rows into slots. Decides nothing, knows nothing of modes.

Storage and sources are 4-D, ``(batch, tokens, kv_heads, dim)`` or ``(batch, kv_heads, tokens,
dim)``. Kernels move words of 1, 2, 4 or 8 bytes, whatever they mean, K and V in one call, and last
of all write the move's ticket into the layer's block: that word is what makes the move true. Python
code is never interrupted inside a call, so rows, counters and ticket are there together or not at
all.

A kernel may refuse what it was given, by its return code and with nothing written: the checks cost
next to nothing here and a microsecond in Python.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _jit
from ._jit import move_bytes, rows_at, word_bytes

__all__ = [
    "ADMITTED",
    "ASSEMBLED",
    "DONE",
    "EVICTED",
    "KEYS_AT",
    "NOT_ADMITTED",
    "TICKET",
    "TOKENS",
    "TOKEN_AXIS",
    "VALUES_AT",
    "WRITTEN",
    "Ints",
    "Kernel",
    "Words",
    "admitted",
    "in_range",
    "kept",
    "move_run",
    "new_block",
    "put_row",
    "put_rows",
    "record",
    "refusal",
    "rows_touch",
    "storage",
]

Kernel = _jit.Kernel

Words: TypeAlias = NDArray[Any]
Ints: TypeAlias = NDArray[np.int64]

# What a kernel answers. All but DONE: nothing was written.
DONE = 0
MISSHAPEN = 1  # not the shape of the storage, or another number of tokens than the move's
STRIDED = 2  # the elements of a row's last axis do not lie side by side
OVERLAPPING = 3  # a source shares memory with the storage
NOT_ADMITTED = 4  # a slot behind those that may be written as yet

# A layer's block: the ticket of the last move carried out, counters since construction over all
# batch rows, where K and V are (address and four axes of each), and how many slots, from the first
# one on, may be written: all of them, unless a pool keeps the cache within a budget.
TICKET, TOKENS, WRITTEN, EVICTED, ASSEMBLED, TOKEN_AXIS, KEYS_AT = range(7)
VALUES_AT, ADMITTED = 11, 16


def new_block(keys: Words, values: Words, token_axis: int) -> Ints:
    """The block of a layer whose storage is `keys` and `values`, which must outlive it."""
    counters = [0] * 5
    where = [keys.ctypes.data, *keys.shape, values.ctypes.data, *values.shape]
    return np.array([*counters, token_axis, *where, keys.shape[token_axis]], dtype=np.int64)


@_jit.helper
def storage(block: Ints, at: int, like: Words) -> Words:
    """K or V of a layer as its block describes it."""
    return rows_at(block[at], (block[at + 1], block[at + 2], block[at + 3], block[at + 4]), like)


@_jit.helper
def _fits(target: Words, source: Words, token_axis: int, count: int) -> bool:
    """Whether `source` has the shape of the storage and `count` tokens."""
    return bool(
        source.shape[0] == target.shape[0]
        and source.shape[token_axis] == count
        and source.shape[3 - token_axis] == target.shape[3 - token_axis]
        and source.shape[3] == target.shape[3]
    )


@_jit.helper
def _overlaps(target: Words, source: Words) -> bool:
    """Whether any byte of `source` may lie between the first and the last of `target`."""
    low = source.ctypes.data
    high = low + word_bytes(source)
    for axis in range(4):
        reach = (source.shape[axis] - 1) * source.strides[axis]
        if reach < 0:
            low += reach
        else:
            high += reach
    start = target.ctypes.data
    stop = start + target.size * word_bytes(target)
    return bool(low < stop and high > start)


@_jit.helper
def refusal(
    keys_target: Words,
    values_target: Words,
    keys: Words,
    values: Words,
    token_axis: int,
    count: int,
) -> int:
    """DONE if K and V may be moved as they are, or the reason why not."""
    if not (
        _fits(keys_target, keys, token_axis, count)
        and _fits(values_target, values, token_axis, count)
    ):
        return MISSHAPEN
    if keys.strides[3] != word_bytes(keys) or values.strides[3] != word_bytes(values):
        return STRIDED
    if _overlaps(keys_target, keys) or _overlaps(values_target, keys):
        return OVERLAPPING
    if _overlaps(keys_target, values) or _overlaps(values_target, values):
        return OVERLAPPING
    return DONE


@_jit.helper
def _scatter_row(target: Words, slot: int, source: Words, token_axis: int) -> None:
    """``target[b, slot, h] = source[b, 0, h]``.

    Unchecked: the strategy guarantees ``0 <= slot < capacity``, `refusal` the rest. The test of
    the stride lets LLVM make wide moves of the inner loop: past it, elements are neighbours.
    """
    if source.strides[3] == word_bytes(source):  # pragma: no branch
        for b in range(source.shape[0]):
            for j in range(source.shape[1]):
                for k in range(source.shape[2]):
                    x, y = (slot, k) if token_axis == 1 else (j, slot)
                    for d in range(source.shape[3]):
                        target[b, x, y, d] = source[b, j, k, d]


@_jit.helper
def _scatter_rows(target: Words, slots: Ints, source: Words, token_axis: int) -> None:
    """``target[b, slots[t], h] = source[b, t, h]`` for every t with ``slots[t] >= 0``.

    Unchecked: the strategy guarantees ``slots[t] < capacity`` and no slot twice, `refusal` the
    rest. The loops follow the axes of the source, so either layout is read from front to back.
    """
    if source.strides[3] == word_bytes(source):  # pragma: no branch
        for b in range(source.shape[0]):
            for j in range(source.shape[1]):
                for k in range(source.shape[2]):
                    slot = slots[j] if token_axis == 1 else slots[k]
                    x, y = (slot, k) if token_axis == 1 else (j, slot)
                    if slot >= 0:
                        for d in range(source.shape[3]):
                            target[b, x, y, d] = source[b, j, k, d]


@_jit.helper
def rows_touch(source: Words, token_axis: int) -> bool:
    """Whether the rows of a plane follow each other in memory, as in most arrays."""
    head_bytes = source.shape[3] * word_bytes(source)
    if source.strides[3] != word_bytes(source) or source.strides[2] != head_bytes:
        return False
    return bool(token_axis == 2 or source.strides[1] == source.shape[2] * head_bytes)


@_jit.helper
def move_run(target: Words, to: int, source: Words, start: int, rows: int, token_axis: int) -> None:
    """``target[:, to : to + rows] = source[:, start : start + rows]``, along the token axis.

    Unchecked: both have the rows and the same axes besides; the target is contiguous, and the rows
    of the source touch. A plane is what has slots of its own, a batch row or (heads first) one of
    its heads; inside it the run is one stretch of words on both sides.
    """
    in_range(target, to + rows - 1, token_axis)
    planes = 1 if token_axis == 1 else source.shape[1]
    row_words = source.shape[3] if token_axis == 2 else source.shape[2] * source.shape[3]
    row_bytes = row_words * word_bytes(source)
    for plane in range(source.shape[0] * planes):
        b, head = plane // planes, plane % planes
        given_at = source.ctypes.data + b * source.strides[0] + head * source.strides[1]
        stored_at = target.ctypes.data + plane * target.shape[token_axis] * row_bytes
        move_bytes(stored_at + to * row_bytes, given_at + start * row_bytes, rows * row_bytes)


@_jit.helper
def _scatter_runs(target: Words, slots: Ints, source: Words, token_axis: int) -> None:
    """What `_scatter_rows` does, by runs of slots. Unchecked: as there, and `rows_touch`."""
    t = 0
    while t < len(slots):
        count = 1
        while t + count < len(slots) and slots[t + count] == slots[t] + count:
            count += 1
        if slots[t] < 0:
            count = 1  # -1 has 0 for a neighbour, but is no slot
        else:
            move_run(target, slots[t], source, t, count, token_axis)
        t += count


@_jit.helper
def in_range(target: Words, token: int, token_axis: int) -> None:
    """Nothing, but with NUMBA_BOUNDSCHECK an IndexError where memcpy would go past the end."""
    head = target.shape[3 - token_axis] - 1
    x, y = (token, head) if token_axis == 1 else (head, token)
    target[target.shape[0] - 1, x, y, 0]


@_jit.helper
def _scatter(target: Words, slots: Ints, source: Words, token_axis: int) -> None:
    if rows_touch(source, token_axis):
        _scatter_runs(target, slots, source, token_axis)
    else:
        _scatter_rows(target, slots, source, token_axis)


@_jit.helper
def record(
    block: Ints, ticket: int, tokens: int, written: int, evicted: int, assembled: int
) -> None:
    """Count a move whose rows are in their slots, and last of all make it true."""
    block[TOKENS] += tokens
    block[WRITTEN] += written
    block[EVICTED] += evicted
    block[ASSEMBLED] += assembled
    block[TICKET] = ticket


@_jit.helper
def kept(slots: Ints) -> int:
    """How many of new rows have a slot."""
    count = 0
    for t in range(len(slots)):
        if slots[t] >= 0:
            count += 1
    return count


@_jit.helper
def admitted(block: Ints, slots: Ints) -> int:
    """DONE if every slot may be written, or NOT_ADMITTED."""
    for t in range(len(slots)):
        if slots[t] >= block[ADMITTED]:
            return NOT_ADMITTED
    return DONE


def put_row(block: Ints, keys: Words, values: Words, ticket: int, evicted: int, slot: int) -> int:
    """One token's K and V into one slot, then the ticket. `evicted` rows of each batch row left.

    Unchecked: the strategy guarantees ``0 <= slot < capacity``. As few array arguments as can be:
    unpacking one costs 35 ns, an integer 8.
    """
    token_axis = block[TOKEN_AXIS]
    keys_target = storage(block, KEYS_AT, keys)
    values_target = storage(block, VALUES_AT, values)
    code = refusal(keys_target, values_target, keys, values, token_axis, 1)
    if code == DONE and slot >= block[ADMITTED]:
        code = NOT_ADMITTED
    if code == DONE:
        _scatter_row(keys_target, slot, keys, token_axis)
        _scatter_row(values_target, slot, values, token_axis)
        batch = keys.shape[0]
        record(block, ticket, batch, batch, evicted * batch, 0)
    return code


def put_rows(
    block: Ints, keys: Words, values: Words, ticket: int, evicted: int, slots: Ints
) -> int:
    """K and V of ``len(slots)`` tokens, each into its slot or (-1) nowhere, then the ticket.

    Unchecked: the strategy guarantees ``-1 <= slots[t] < capacity`` and no slot twice.
    """
    token_axis = block[TOKEN_AXIS]
    keys_target = storage(block, KEYS_AT, keys)
    values_target = storage(block, VALUES_AT, values)
    code = refusal(keys_target, values_target, keys, values, token_axis, len(slots))
    if code == DONE:
        code = admitted(block, slots)
    if code == DONE:
        _scatter(keys_target, slots, keys, token_axis)
        _scatter(values_target, slots, values, token_axis)
        batch = keys.shape[0]
        written = kept(slots) * batch
        record(block, ticket, len(slots) * batch, written, evicted * batch, 0)
    return code
