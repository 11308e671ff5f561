"""Whether the arguments of a call to the reference are any."""

from __future__ import annotations

import operator
from typing import Any

from ..config import CacheConfig
from ..errors import ConfigError, DTypeError, ShapeError

__all__ = [
    "check_alike",
    "check_padding",
    "checked_batch_row",
    "checked_index",
    "checked_indexes",
    "checked_list",
    "per_batch_row",
]


def checked_index(name: str, value: object) -> int:
    """`value` as an int. A bool is not a number of tokens, nor is 3.0."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(f"{name}: expected an integer, got {value!r}") from None


def checked_batch_row(name: str, value: object, batch: int) -> int:
    """The number of one of `batch` batch rows; negative ones do not count from the end."""
    number = checked_index(name, value)
    if not 0 <= number < batch:
        raise ShapeError(f"{name}: expected 0 .. {batch - 1}, got {number}")
    return number


def checked_indexes(name: str, values: object) -> list[int]:
    """`values` as a list of ints."""
    return [checked_index(name, value) for value in checked_list(name, values)]


def per_batch_row(name: str, values: object, batch: int) -> list[int]:
    """`values` as a list of ints, one per batch row."""
    listed = checked_indexes(name, values)
    if len(listed) != batch:
        raise ShapeError(f"{name}: expected {batch}, one per batch row, got {len(listed)}")
    return listed


def checked_list(name: str, values: object) -> list[Any]:
    """`values` as a list, whatever it holds; a text is none."""
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return list(values)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        raise DTypeError(f"{name}: expected a list, got {values!r}") from None


def check_padding(padding: object) -> None:
    """Whether it is one of the two sides."""
    expected = f"padding: expected 'right' or 'left', got {padding!r}"
    if not isinstance(padding, str):
        raise DTypeError(expected)
    if padding not in ("right", "left"):
        raise ConfigError(expected)


def check_alike(mine: CacheConfig, theirs: CacheConfig) -> None:
    """Whether two caches differ in nothing but their batch rows."""
    if theirs.dtype != mine.dtype:
        raise DTypeError(f"other: expected {mine.dtype}, got {theirs.dtype}")
    axes = [
        (one.layout, [(of.kv_heads, of.head_dim, of.value_dim) for of in one.layers])
        for one in (mine, theirs)
    ]
    if axes[0] != axes[1]:
        raise ShapeError(f"other: expected {axes[0]}, got {axes[1]}")
    modes = [[layer.strategy for layer in one.layers] for one in (mine, theirs)]
    if modes[0] != modes[1]:
        raise ConfigError(f"other: expected {modes[0]}, got {modes[1]}")
