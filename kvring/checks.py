"""Checks of what a call was given: plain Python types, and the arrays of an update.

Each answers with the checked value or raises: what, expected, got, way out. They run off the fast
path: an update that fits was accepted by the kernel itself and never comes here.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.ma  # or NumPy loads it in the middle of a call, where Ctrl-C may come

from .errors import ConfigError, DTypeError, LayerError, ShapeError
from .ragged import PADDINGS, Padding, TokenCounts
from .rows import ORDERS, Order

if TYPE_CHECKING:
    from .config import Layout

__all__ = [
    "checked_arrays",
    "checked_batch_row",
    "checked_layer",
    "checked_order",
    "checked_padding",
    "checked_token_counts",
    "checked_tokens",
    "is_list",
    "per_batch_row_tokens",
]

AXES = {
    "BSHD": ("batch", "tokens", "kv_heads", "dim"),
    "BHSD": ("batch", "kv_heads", "tokens", "dim"),
}


def checked_tokens(name: str, value: object) -> int:
    """A count of tokens or a position as a plain int of either sign; a bool is neither."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(cast("Any", value))
    except TypeError:
        got = f"{value!r} ({type(value).__name__})"
        raise DTypeError(f"{name}: expected an int, got {got}") from None


def checked_layer(layer: object, layers: int) -> int:
    """The layer's number; negative ones do not count from the end."""
    number = checked_tokens("layer", layer)
    if not 0 <= number < layers:
        raise LayerError(f"layer: expected 0 to {layers - 1}, got {number}")
    return number


def checked_batch_row(batch_row: object, batch: int) -> int:
    """The number of one of `batch` batch rows; negative ones do not count from the end."""
    number = checked_tokens("batch_row", batch_row)
    if not 0 <= number < batch:
        raise ShapeError(f"batch_row: expected 0 to {batch - 1}, got {number}")
    return number


def checked_order(order: object) -> Order:
    """The order of that name."""
    expected = f"order: expected 'temporal' or 'physical', got {order!r}"
    if not isinstance(order, str):
        raise DTypeError(expected)
    if order not in ORDERS:
        raise ConfigError(expected)
    return ORDERS[order]


def checked_padding(padding: object) -> Padding:
    """The side of that name."""
    expected = f"padding: expected 'right' or 'left', got {padding!r}"
    if not isinstance(padding, str):
        raise DTypeError(expected)
    if padding not in PADDINGS:
        raise ConfigError(expected)
    return PADDINGS[padding]


def is_list(values: object) -> bool:
    """Whether there is something in `values` to go through: not so in texts and single numbers."""
    if isinstance(values, np.ndarray):
        return values.ndim > 0
    return isinstance(values, Iterable) and not isinstance(values, (str, bytes))


def per_batch_row_tokens(name: str, values: Any, batch: int) -> tuple[int, ...]:
    """One plain int for each batch row, out of a list or a one-dimensional array of them."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ShapeError(f"{name}: expected shape ({batch},), got {values.shape}")
        if values.dtype.kind not in "iu":
            raise DTypeError(f"{name}: expected an array of ints, got {values.dtype}")
        values = values.tolist()
    if not is_list(values):
        raise DTypeError(f"{name}: expected a list of int, got {values!r}")
    listed = tuple(checked_tokens(name, value) for value in values)
    if len(listed) != batch:
        raise ShapeError(f"{name}: expected {batch}, one per batch row, got {len(listed)}")
    return listed


def checked_token_counts(counts: object, batch: int, width: int, padding: Padding) -> TokenCounts:
    """How many of `width` tokens are real in each batch row."""
    listed = per_batch_row_tokens("token_counts", counts, batch)
    for batch_row, count in enumerate(listed):
        if not 0 <= count <= width:
            raise ShapeError(
                f"token_counts: expected 0 to {width} tokens of batch row {batch_row}, got {count}"
            )
    return TokenCounts(listed, width, padding)


def checked_arrays(
    keys: object,
    values: object,
    *,
    dtype: np.dtype[Any],
    layout: Layout,
    batch: int,
    kv_heads: int,
    dims: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, int]:
    """K and V as plain arrays, and the number of new tokens, if they fit the storage."""
    token_axis = AXES[layout].index("tokens")
    plain = _plain("keys", keys, dtype), _plain("values", values, dtype)
    for name, array, dim in zip(("keys", "values"), plain, dims, strict=True):
        _check_shape(name, array.shape, {"batch": batch, "kv_heads": kv_heads, "dim": dim}, layout)
    tokens, value_tokens = (array.shape[token_axis] for array in plain)
    if tokens != value_tokens:
        raise ShapeError(
            f"values: expected {tokens} tokens on axis {token_axis} as in keys, got {value_tokens}"
        )
    return *plain, tokens


def _plain(name: str, array: object, dtype: np.dtype[Any]) -> np.ndarray:
    """An array of the right dtype, as NumPy's own class whatever a subclass says of itself."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise DTypeError(
            f"{name}: expected a numpy.ndarray of {dtype}, got {type(array).__name__}"
            f"{_way_out(name, array, dtype)}"
        )
    plain = np.asarray(array)
    got = plain.dtype
    if got != dtype:
        order = "" if got.isnative else " (not in native byte order)"
        raise DTypeError(
            f"{name}: expected {dtype}, got {got}{order}; use {name}.astype({dtype.name!r})"
        )
    return plain


def _way_out(name: str, array: object, dtype: np.dtype[Any]) -> str:
    if array is None:
        return ""
    if isinstance(array, np.ma.MaskedArray):
        return f"; a cache stores no masks: use {name}.filled(0) or {name}.data"
    if hasattr(array, "__dlpack__"):
        return f"; use np.from_dlpack({name})"
    return f"; use np.asarray({name}, dtype={dtype.name!r})"


def _check_shape(name: str, shape: tuple[int, ...], sizes: dict[str, int], layout: Layout) -> None:
    axes = AXES[layout]
    if len(shape) != len(axes):
        raise ShapeError(
            f"{name}: expected 4 axes ({', '.join(axes)}) for layout {layout}, got shape {shape}"
        )
    for axis, (what, got) in enumerate(zip(axes, shape, strict=True)):
        expected = sizes.get(what, got)
        if got != expected:
            label = {"dim": "head_dim" if name == "keys" else "value_dim"}.get(what, what)
            raise ShapeError(
                f"{name}: expected {label}={expected} on axis {axis}, got {got}"
                f"{_guess(what, shape, sizes, layout)}"
            )


def _guess(what: str, shape: tuple[int, ...], sizes: dict[str, int], layout: Layout) -> str:
    """The likely mistake behind a wrong axis."""
    heads_axis, token_axis = AXES[layout].index("kv_heads"), AXES[layout].index("tokens")
    kv_heads = sizes["kv_heads"]
    if what == "kv_heads" and 1 < kv_heads == shape[token_axis]:
        return f" (the other layout? {layout} is {', '.join(AXES[layout])})"
    if what == "kv_heads" and shape[heads_axis] % kv_heads == 0 and shape[heads_axis] > kv_heads:
        return " (query heads?)"
    return ""
