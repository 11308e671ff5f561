"""Rows that say whose they are: every element is a small integer, exact in every dtype.

A token is known by a *tag* (1 .. 511, in the order in which tokens come) and the *batch row* it was
given to. Elements 0 to 6 of each key and value spell ``[tag // 64, tag // 8 % 8, tag % 8, kv_head,
batch row, layer, 1 for K or 2 for V]``, so a row in the wrong place says where it comes from.
Element 7 is a bit pattern that arithmetic would not keep, where the backend keeps bits; wider rows
repeat these eight elements. Tags from `ZERO_KEY_TAGS` on have keys of zeros, which some caches
take for slots that were never written.

Worked example: tag 75 of batch row 2, head 1, layer 0, K: ``[1, 1, 3, 1, 2, 0, 1, ...]``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dtypes import checked_dtype

__all__ = [
    "MOST_BATCH_ROWS",
    "MOST_TAGS",
    "SPOILS",
    "ZERO_KEY_TAGS",
    "Token",
    "bits",
    "describe",
    "named_rows",
    "spell",
    "spoiled",
    "token_id",
    "tokens_in",
]

Token = tuple[int, int]  # (tag, batch row it was given to)
Array = NDArray[Any]

MOST_TAGS = 512
ZERO_KEY_TAGS = 448
NAME = 8  # elements of a name
MOST_BATCH_ROWS, MOST_HEADS, MOST_LAYERS = 8, 4, 4

# What may be wrong with the arrays of an update that must be refused.
SPOILS = ("V shorter than K", "K shorter than V", "a head too many", "a batch row too many")


@lru_cache(maxsize=32)
def _table(dtype_name: str, width: int, kind: int, special: bool) -> Array:
    """All names there are: ``(layers, batch rows, tags, kv_heads, width)``."""
    dtype = checked_dtype(dtype_name)
    shape = (MOST_LAYERS, MOST_BATCH_ROWS, MOST_TAGS, MOST_HEADS)
    layer, batch_row, tag, head = np.indices(shape)
    digits = [tag // 64, tag // 8 % 8, tag % 8, head, batch_row, layer, np.full(shape, kind)]
    name = np.stack([*digits, np.zeros(shape, int)], axis=-1).astype(dtype)
    if special:
        patterns = _patterns(dtype)
        name[..., 7] = patterns[np.indices(shape)[2] % len(patterns)]
    if kind == 1:
        name[:, :, ZERO_KEY_TAGS:] = 0
    repeated = np.resize(np.arange(NAME), width)
    table: Array = np.ascontiguousarray(name[..., repeated])
    table.flags.writeable = False
    return table


def _patterns(dtype: np.dtype[Any]) -> Array:
    """Values that a copy keeps and arithmetic does not: NaN payloads, -0.0, the smallest number."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([limits.min, limits.max, 0, 1], dtype)
    word = np.dtype(f"u{dtype.itemsize}") if dtype.itemsize <= 8 else None
    if word is None or dtype.kind == "c":
        return np.zeros(1, dtype)
    sign, ones = 1 << (8 * dtype.itemsize - 1), (1 << (8 * dtype.itemsize - 1)) - 1
    # -0.0, the smallest number above zero, and NaNs of all ones without and with the sign
    return np.array([sign, 1, ones, sign | ones], word).view(dtype)


def named_rows(
    tokens: list[list[Token]],
    *,
    layer: int,
    kv_heads: int,
    width: int,
    dtype: str,
    kind: int,
    special: bool,
) -> Array:
    """K (`kind` 1) or V (2) of one list of tokens per batch row: BSHD."""
    table = _table(dtype, width, kind, special)
    index = np.array(tokens, np.int64).reshape(len(tokens), len(tokens[0]), 2)
    rows: Array = table[layer, index[..., 1], index[..., 0], :kv_heads]
    return rows


def tokens_in(rows: Array) -> tuple[Array, Array]:
    """Tag and batch row that KV head 0 of each row ``(..., kv_heads, width)`` spells, or -1."""
    with np.errstate(invalid="ignore"):
        spelled = rows[..., 0, :5].astype(np.float64)
        digits = np.where((spelled >= 0) & (spelled < 8) & (spelled % 1 == 0), spelled, -512)
    digits = digits.astype(np.int64)
    tags = digits[..., 0] * 64 + digits[..., 1] * 8 + digits[..., 2]
    origins = digits[..., 4]
    known = (tags > 0) & (origins >= 0)
    return np.where(known, tags, -1), np.where(known, origins, -1)


def bits(array: Array) -> Array:
    """The array's words, which compare equal only where every bit is."""
    contiguous = np.ascontiguousarray(array)
    if contiguous.dtype.itemsize in (1, 2, 4, 8):
        return contiguous.view(f"u{contiguous.dtype.itemsize}")
    return contiguous.view(np.uint8)


def spell(row: Array) -> str:
    """What one key or value ``(width,)`` says about itself, for a person."""
    with np.errstate(invalid="ignore"):
        values = row[:7].astype(np.float64)
    if not np.isfinite(values).all():
        return "a row of NaN or infinities"
    if not values.any():
        return "a row of zeros"
    whole = values.astype(int)
    if (whole != values).any() or (whole < 0).any() or (whole > 7).any() or whole[6] not in (1, 2):
        return f"a row that was never given ({', '.join(f'{v:g}' for v in values)}, ...)"
    tag = int(whole[0] * 64 + whole[1] * 8 + whole[2])
    kind = "K" if whole[6] == 1 else "V"
    return (
        f"{kind} of token {token_id((tag, int(whole[4])))}"
        f" (batch row {whole[4]}, layer {whole[5]}, head {whole[3]})"
    )


def token_id(token: Token) -> int:
    """One integer for a token: its tag, plus 1000 for each batch row before its own."""
    tag, batch_row = token
    return tag + 1000 * batch_row


def describe(tokens: list[Token]) -> str:
    """Token ids as a list."""
    return "[" + ", ".join(str(token_id(token)) for token in tokens) + "]"


def spoiled(what: str, keys: Array, values: Array, layout: str) -> tuple[Array, Array]:
    """K and V with one thing wrong, one of `SPOILS`."""
    tokens, kv_heads = (1, 2) if layout == "BSHD" else (2, 1)
    if what == "V shorter than K":
        return keys, np.delete(values, -1, axis=tokens)
    if what == "K shorter than V":
        return np.delete(keys, -1, axis=tokens), values
    axis = kv_heads if what == "a head too many" else 0
    return tuple(np.concatenate([a, a.take([0], axis)], axis) for a in (keys, values))  # type: ignore[return-value]
