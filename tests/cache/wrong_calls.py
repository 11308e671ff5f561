"""Wrong arguments, in tables: on which cache, which error, the whole message, the call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvring import (
    Append,
    ConfigError,
    DTypeError,
    KVCache,
    KVRingError,
    LayerError,
    Replace,
    ShapeError,
)
from tests.support import WORKED_EXAMPLE, Array

Call = Callable[[Any], object]


@dataclass(frozen=True)
class Wrong:
    """A wrong call, the cache it is made on, and what comes of it."""

    make: Callable[[], KVCache]
    error: type[KVRingError]
    message: str
    call: Call


class Tensor:
    """Like a tensor of another library: an array's attributes, and a way to share its memory."""

    ndim, shape, dtype = 4, (1, 1, 1, 1), np.dtype("float32")

    def __dlpack__(self) -> None:
        raise AssertionError("kvring converts nothing by itself")


class Lookalike:
    """All that an array has, except that it is none."""

    def __getattr__(self, name: str) -> Any:
        if name == "view":  # means something else in every library
            raise AttributeError(name)
        return getattr(tokens(), name)


def rows(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def tokens(count: int = 1) -> Array:
    """K or V of so many tokens, for caches of one KV head of one element."""
    return rows(1, count, 1, 1)


def filled(strategy: Any, seq_len: int) -> KVCache:
    """Two layers that have seen so many tokens, one by one."""
    cache = KVCache(layers=2, kv_heads=1, head_dim=1, strategy=strategy)
    for _ in range(seq_len):
        for layer in range(2):
            cache.update(layer, tokens(), -tokens())
    return cache


def worked() -> KVCache:
    """The worked example: window 4, 1 sink token, 2 rollback tokens, 12 tokens seen."""
    return filled(WORKED_EXAMPLE, 12)


def append() -> KVCache:
    """Three of four slots taken."""
    return filled(Append(4), 3)


def replace() -> KVCache:
    """Three rows in layer 0, none in layer 1."""
    cache = filled(Replace(4), 0)
    cache.update(0, tokens(3), tokens(3))
    return cache


def wide(layout: Any = "BSHD") -> KVCache:
    """2 batch rows, 3 KV heads, keys of 4 elements, values of 5; two tokens seen."""
    axes: Any = {"batch": 2, "kv_heads": 3, "head_dim": 4, "value_dim": 5, "layout": layout}
    cache = KVCache(layers=1, strategy=Append(8), **axes)
    shape = (2, 2, 3) if layout == "BSHD" else (2, 3, 2)
    cache.update(0, rows(*shape, 4), rows(*shape, 5))
    return cache


def wide_bhsd() -> KVCache:
    return wide("BHSD")


def on_arrays(
    make: Callable[[], KVCache], error: type[KVRingError], *cases: tuple[str, Any, Any]
) -> dict[str, Wrong]:
    """Updates of layer 0, plain and in the ``seq_len=`` form; a case is a message, K and V."""

    def updating(keys: Any, values: Any, **options: Any) -> Call:
        return lambda cache: cache.update(0, keys, values, **options)

    calls = {message: updating(k, v) for message, k, v in cases}
    calls |= {f"{message} [seq_len]": updating(k, v, seq_len=4) for message, k, v in cases}
    return {
        name: Wrong(make, error, name.removesuffix(" [seq_len]"), call)
        for name, call in calls.items()
    }


def on_calls(
    make: Callable[[], KVCache], error: type[KVRingError], message: str, *calls: Call
) -> dict[str, Wrong]:
    """Several calls that end in the same message."""
    return {
        f"{message} [{number}]": Wrong(make, error, message, call)
        for number, call in enumerate(calls)
    }


K, V = rows(2, 1, 3, 4), rows(2, 1, 3, 5)  # right for `wide`
BSHD_AXES = "4 axes (batch, tokens, kv_heads, dim) for layout BSHD"
BHSD_AXES = "4 axes (batch, kv_heads, tokens, dim) for layout BHSD"
HEADS = "expected kv_heads=3 on axis"
SHAPES = on_arrays(
    wide,
    ShapeError,
    (f"keys: expected {BSHD_AXES}, got shape (1, 3, 4)", K[0], V),
    (f"values: expected {BSHD_AXES}, got shape (2, 1, 3, 5, 1)", K, V[..., None]),
    ("keys: expected batch=2 on axis 0, got 1", K[:1], V),
    ("keys: expected batch=2 on axis 0, got 4", rows(4, 1, 3, 4), V),
    ("values: expected batch=2 on axis 0, got 3", K, rows(3, 1, 3, 5)),
    (f"keys: {HEADS} 2, got 4", rows(2, 1, 4, 4), V),
    (f"keys: {HEADS} 2, got 0", rows(2, 1, 0, 4), V),
    (f"keys: {HEADS} 2, got 9 (query heads?)", rows(2, 1, 9, 4), V),
    (f"values: {HEADS} 2, got 6 (query heads?)", K, rows(2, 1, 6, 5)),
    (
        f"keys: {HEADS} 2, got 1 (the other layout? BSHD is batch, tokens, kv_heads, dim)",
        rows(2, 3, 1, 4),
        V,
    ),
    ("keys: expected head_dim=4 on axis 3, got 5", V, V),
    ("values: expected value_dim=5 on axis 3, got 4", K, K),
    ("values: expected 3 tokens on axis 1 as in keys, got 1", rows(2, 3, 3, 4), V),
    ("values: expected 1 tokens on axis 1 as in keys, got 2", K, rows(2, 2, 3, 5)),
    ("values: expected 1 tokens on axis 1 as in keys, got 0", K, V[:, :0]),
    ("values: expected 0 tokens on axis 1 as in keys, got 1", K[:, :0], V),
)
OTHER_LAYOUT = on_arrays(
    wide_bhsd,
    ShapeError,
    (f"keys: expected {BHSD_AXES}, got shape (1, 3, 4)", K[0], V[0]),
    (f"keys: {HEADS} 1, got 1 (the other layout? BHSD is batch, kv_heads, tokens, dim)", K, V),
    (f"keys: {HEADS} 1, got 6 (query heads?)", rows(2, 6, 1, 4), rows(2, 6, 1, 5)),
    ("values: expected 3 tokens on axis 2 as in keys, got 1", rows(2, 3, 3, 4), rows(2, 3, 1, 5)),
)

ONE = tokens()
SWAPPED = ONE.dtype.newbyteorder()
NO_ARRAY = "expected a numpy.ndarray of float32, got"
AS_KEYS, AS_VALUES = "use keys.astype('float32')", "use values.astype('float32')"
DTYPES = on_arrays(
    append,
    DTypeError,
    (f"keys: expected float32, got float64; {AS_KEYS}", ONE.astype("f8"), ONE),
    (f"values: expected float32, got float16; {AS_VALUES}", ONE, ONE.astype("f2")),
    (f"keys: expected float32, got int32; {AS_KEYS}", ONE.view("i4"), ONE),
    (f"values: expected float32, got object; {AS_VALUES}", ONE, ONE.astype(object)),
    (
        f"keys: expected float32, got {SWAPPED} (not in native byte order); {AS_KEYS}",
        ONE.astype(SWAPPED),
        ONE,
    ),
    (f"keys: {NO_ARRAY} list; use np.asarray(keys, dtype='float32')", ONE.tolist(), ONE),
    (f"values: {NO_ARRAY} NoneType", ONE, None),
    (f"keys: {NO_ARRAY} float; use np.asarray(keys, dtype='float32')", 1.5, ONE),
    (f"values: {NO_ARRAY} float32; use np.asarray(values, dtype='float32')", ONE, np.float32(1)),
    (f"keys: {NO_ARRAY} Tensor; use np.from_dlpack(keys)", Tensor(), ONE),
    (f"values: {NO_ARRAY} Tensor; use np.from_dlpack(values)", ONE, Tensor()),
    (f"keys: {NO_ARRAY} Lookalike; use np.from_dlpack(keys)", Lookalike(), ONE),
)


def on_layer(layer: Any) -> tuple[Call, ...]:
    """Every call that takes a layer."""
    return (
        lambda cache: cache.update(layer, ONE, ONE),
        lambda cache: cache.update(layer, tokens(2), tokens(2)),
        lambda cache: cache.update(layer, ONE, ONE, seq_len=4),
        lambda cache: cache.read(layer),
        lambda cache: cache.positions(layer),
        lambda cache: cache.slots(layer),
    )


def layer_refused(error: type[KVRingError], wanted: str, layer: Any, got: str) -> dict[str, Wrong]:
    return on_calls(append, error, f"layer: expected {wanted}, got {got}", *on_layer(layer))


LAYERS = {
    **layer_refused(LayerError, "0 to 1", 2, "2"),
    **layer_refused(LayerError, "0 to 1", -1, "-1"),
    **layer_refused(DTypeError, "an int", True, "True (bool)"),
    **layer_refused(DTypeError, "an int", 0.0, "0.0 (float)"),
    **layer_refused(DTypeError, "an int", None, "None (NoneType)"),
    **layer_refused(DTypeError, "an int", "0", "'0' (str)"),
    **layer_refused(DTypeError, "an int", np.arange(2), "array([0, 1]) (ndarray)"),
    **layer_refused(DTypeError, "an int", int, "<class 'int'> (type)"),
}


def with_order(order: Any) -> tuple[Call, ...]:
    """Every call that takes an order."""
    return (
        lambda cache: cache.update(0, ONE, ONE, order=order),
        lambda cache: cache.update(0, tokens(2), tokens(2), order=order),
        lambda cache: cache.update(0, ONE, ONE, order=order, seq_len=4),
        lambda cache: cache.read(0, order=order),
    )


def order_refused(error: type[KVRingError], order: Any) -> dict[str, Wrong]:
    message = f"order: expected 'temporal' or 'physical', got {order!r}"
    return on_calls(append, error, message, *with_order(order))


ORDERS = {
    **order_refused(ConfigError, "newest"),
    **order_refused(ConfigError, "Physical"),
    **order_refused(DTypeError, None),
    **order_refused(DTypeError, 1),
    **order_refused(DTypeError, np.array("temporal")),
    **order_refused(DTypeError, np.array(["physical", "temporal"])),
}

ARGUMENTS = SHAPES | OTHER_LAYOUT | DTYPES | LAYERS | ORDERS
