"""Checks of what a call was given: plain Python types, and the arrays of an update.

Each answers with the checked value or raises: what, expected, got, way out. They run off the fast
path: an update that fits was accepted by the kernel itself and never comes here.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from .errors import ConfigError, DTypeError, LayerError, ShapeError
from .rows import Order

if TYPE_CHECKING:
    from .config import Layout

__all__ = ["checked_arrays", "checked_layer", "checked_order", "checked_tokens"]

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


def checked_order(order: object) -> Order:
    """`order` if it is one of the two."""
    if not isinstance(order, str):
        raise DTypeError(f"order: expected 'temporal' or 'physical', got {order!r}")
    if order not in get_args(Order):
        raise ConfigError(f"order: expected 'temporal' or 'physical', got {order!r}")
    return cast("Order", order)


def checked_arrays(
    keys: object,
    values: object,
    *,
    dtype: np.dtype[Any],
    layout: Layout,
    batch: int,
    kv_heads: int,
    dims: tuple[int, int],
) -> int:
    """The number of new tokens, if K and V are arrays that fit the storage."""
    token_axis = AXES[layout].index("tokens")
    found = []
    for name, array, dim in zip(("keys", "values"), (keys, values), dims, strict=True):
        checked = _checked_dtype(name, array, dtype)
        _check_shape(
            name, checked.shape, {"batch": batch, "kv_heads": kv_heads, "dim": dim}, layout
        )
        found.append(checked.shape[token_axis])
    tokens, value_tokens = found
    if tokens != value_tokens:
        raise ShapeError(
            f"values: expected {tokens} tokens on axis {token_axis} as in keys, got {value_tokens}"
        )
    return int(tokens)


def _checked_dtype(name: str, array: object, dtype: np.dtype[Any]) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        way_out = (
            f"np.from_dlpack({name})" if hasattr(array, "__dlpack__") else f"np.asarray({name})"
        )
        raise DTypeError(
            f"{name}: expected a numpy.ndarray of {dtype}, got {type(array).__name__};"
            f" use {way_out}"
        )
    if array.dtype != dtype:
        got = array.dtype if array.dtype.isnative else f"{array.dtype} (not in native byte order)"
        raise DTypeError(f"{name}: expected {dtype}, got {got}; use {name}.astype({dtype.name!r})")
    return array


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
