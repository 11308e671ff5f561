"""WHAT moves where batch rows go apart: each batch row has slots of its own for the new rows."""

from __future__ import annotations

from . import _jit
from ._jit import word_bytes
from .kernels import (
    DONE,
    KEYS_AT,
    TOKEN_AXIS,
    VALUES_AT,
    Ints,
    Words,
    admitted,
    kept,
    record,
    refusal,
    storage,
)

__all__ = ["put_batch_rows"]


@_jit.helper
def _scatter_apart(target: Words, slots: Ints, source: Words, token_axis: int) -> None:
    """``target[b, slots[b, t], h] = source[b, t, h]`` for every b and t with ``slots[b, t] >= 0``.

    Unchecked: the strategy guarantees ``slots[b, t] < capacity`` and no slot twice in a batch row,
    `refusal` the rest. Loops and test of the stride as in `kernels._scatter_rows`.
    """
    if source.strides[3] == word_bytes(source):  # pragma: no branch
        for b in range(source.shape[0]):
            for j in range(source.shape[1]):
                for k in range(source.shape[2]):
                    slot = slots[b, j] if token_axis == 1 else slots[b, k]
                    x, y = (slot, k) if token_axis == 1 else (j, slot)
                    if slot >= 0:
                        for d in range(source.shape[3]):
                            target[b, x, y, d] = source[b, j, k, d]


def put_batch_rows(
    block: Ints,
    keys: Words,
    values: Words,
    ticket: int,
    evicted: int,
    slots: Ints,
    assembled: int,
    tokens: int,
) -> int:
    """What `put_rows` does, with slots ``(batch, tokens)``, -1 for padding too, then the ticket.

    Counted are `tokens`, `evicted` and `assembled` rows of all batch rows together. Unchecked: the
    strategy guarantees ``-1 <= slots[b, t] < capacity``, as many batch rows as the storage has, and
    no slot twice in one.
    """
    token_axis = block[TOKEN_AXIS]
    keys_target = storage(block, KEYS_AT, keys)
    values_target = storage(block, VALUES_AT, values)
    count = slots.shape[1]
    code = refusal(keys_target, values_target, keys, values, token_axis, count)
    for b in range(slots.shape[0]):
        if code == DONE:
            code = admitted(block, slots[b])
    if code == DONE:
        _scatter_apart(keys_target, slots, keys, token_axis)
        _scatter_apart(values_target, slots, values, token_axis)
        written = 0
        for b in range(slots.shape[0]):
            written += kept(slots[b])
        record(block, ticket, tokens, written, evicted, assembled)
    return code
