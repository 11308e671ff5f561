"""What the state machine draws: configurations, the shapes memory comes in, and wrong calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kvring.config import Append, Circular, Mode, Replace
from kvring.errors import DTypeError, KVRingError, LayerError, ShapeError
from tests.support import Array, token_axis

DTYPES = ["int8", "float16", "float32", "float64", "uint8", "complex64"]
try:
    import ml_dtypes  # noqa: F401
except ImportError:
    pass
else:
    DTYPES += ["bfloat16", "float8_e4m3fn"]

ORDERS = st.sampled_from(["temporal", "physical"])
LAYERS = st.integers(0, 2)  # capped to what the cache has
TOKENS = st.one_of(st.just(1), st.integers(0, 14))  # capped to what the layer makes interesting


@st.composite
def modes(draw: st.DrawFn) -> Mode:
    """A mode with numbers so small that everything wraps within a few steps."""
    kind = draw(st.sampled_from([Circular, Circular, Append, Replace]))
    if kind is Circular:
        window, sink_tokens = draw(st.integers(1, 6)), draw(st.integers(0, 3))
        return Circular(window, sink_tokens, rollback_tokens=draw(st.integers(0, 3)))
    return kind(capacity=draw(st.integers(1, 8)))


@st.composite
def cache_arguments(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of a cache: each one once for all layers, or one per layer."""
    layers = draw(st.integers(1, 3))

    def one_or_each(of: st.SearchStrategy[Any]) -> Any:
        return draw(st.one_of(of, st.lists(of, min_size=layers, max_size=layers)))

    return {
        "layers": layers,
        "strategy": one_or_each(modes()),
        "batch": draw(st.integers(1, 2)),
        "kv_heads": one_or_each(st.integers(1, 2)),
        "head_dim": one_or_each(st.integers(1, 3)),
        "value_dim": one_or_each(st.integers(1, 3)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "layout": draw(st.sampled_from(["BSHD", "BHSD"])),
    }


def most_tokens(mode: Mode) -> int:
    """The longest chunk worth trying: past every limit of the layer, but not far."""
    if isinstance(mode, Circular):
        return mode.window + mode.rollback_tokens + 3
    return mode.capacity + 2


def _read_only(array: Array) -> tuple[Array, Array]:
    memory = array.copy()
    given = memory[...]
    given.flags.writeable = False
    return given, memory


def _transposed(array: Array) -> tuple[Array, Array]:
    memory = array.T.copy()
    return memory.T, memory


def _every_second(array: Array, axis: int) -> tuple[Array, Array]:
    memory = np.repeat(array, 2, axis=axis)
    return memory[(slice(None),) * axis + (slice(None, None, 2),)], memory


def _reversed(array: Array) -> tuple[Array, Array]:
    memory = array[:, ::-1, ::-1, ::-1].copy()
    return memory[:, ::-1, ::-1, ::-1], memory


def _unaligned(array: Array) -> tuple[Array, Array]:
    memory = np.frombuffer(bytearray(b"\0" + array.tobytes()), np.uint8)
    return memory[1:].view(array.dtype).reshape(array.shape), memory


# Each takes an array and returns one of the same content, and the memory behind it.
DISGUISES: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "plain": lambda array: (array, array),
    "read-only": _read_only,
    "transposed": _transposed,
    "every second batch row": lambda array: _every_second(array, 0),
    "every second token or head": lambda array: _every_second(array, 1),
    "every second head or token": lambda array: _every_second(array, 2),
    "every second element": lambda array: _every_second(array, 3),
    "reversed": _reversed,
    "unaligned": _unaligned,
}


def part_of(array: Array, axis: int, first: int, count: int, step: int) -> Array:
    """`count` tokens from `first` on, in either direction, as a view of `array`."""
    whole = np.moveaxis(array, axis, 0)[first : first + count][::step]
    return np.moveaxis(whole, 0, axis)


Call = Callable[[Any, int, Array, Array], Any]

# Each is wrong in one way, whatever the state of the cache.
WRONG_ARGUMENTS: dict[str, tuple[type[KVRingError], Call]] = {
    "layer too large": (LayerError, lambda c, n, k, v: c.update(len(c.rings), k, v)),
    "layer negative": (LayerError, lambda c, n, k, v: c.update(-1, k, v)),
    "layer float": (DTypeError, lambda c, n, k, v: c.update(float(n), k, v)),
    "layer bool": (DTypeError, lambda c, n, k, v: c.update(False, k, v)),
    "layer None": (DTypeError, lambda c, n, k, v: c.update(None, k, v)),
    "layer str": (DTypeError, lambda c, n, k, v: c.update("0", k, v)),
    "read of no layer": (LayerError, lambda c, n, k, v: c.read(len(c.rings))),
    "read of layer -1": (LayerError, lambda c, n, k, v: c.read(-1)),
    "read of layer 0.0": (DTypeError, lambda c, n, k, v: c.read(0.0)),
    "positions of no layer": (LayerError, lambda c, n, k, v: c.positions(len(c.rings))),
    "slots of layer -1": (LayerError, lambda c, n, k, v: c.slots(-1)),
    "keys None": (DTypeError, lambda c, n, k, v: c.update(n, None, v)),
    "values None": (DTypeError, lambda c, n, k, v: c.update(n, k, None)),
    "keys list": (DTypeError, lambda c, n, k, v: c.update(n, k.tolist(), v)),
    "values bytes": (DTypeError, lambda c, n, k, v: c.update(n, k, v.tobytes())),
    "seq_len float": (DTypeError, lambda c, n, k, v: c.update(n, k, v, seq_len=1.0)),
    "seq_len bool": (DTypeError, lambda c, n, k, v: c.update(n, k, v, seq_len=True)),
    "seq_len str": (DTypeError, lambda c, n, k, v: c.update(n, k, v, seq_len="1")),
    "order unknown": (KVRingError, lambda c, n, k, v: c.update(n, k, v, order="backwards")),
    "order None": (KVRingError, lambda c, n, k, v: c.read(n, order=None)),
    "truncate float": (DTypeError, lambda c, n, k, v: c.truncate(0.0)),
    "truncate bool": (DTypeError, lambda c, n, k, v: c.truncate(False)),
    "truncate None": (DTypeError, lambda c, n, k, v: c.truncate(None)),
    "truncate str": (DTypeError, lambda c, n, k, v: c.truncate("0")),
}


def _padded(array: Array, axis: int) -> Array:
    """One more than there should be along `axis`."""
    return np.insert(array, 0, np.zeros((), array.dtype), axis=axis)


def _other_width(array: Array) -> Array:
    other = "float32" if array.dtype != np.float32 else "float64"
    return np.zeros(array.shape, other)


def _same_width(array: Array) -> Array:
    """Bytes that would fit, under another name."""
    kind = "u" if array.dtype.kind != "u" else "i"
    return array.view(f"{kind}{array.dtype.itemsize}")


def _swapped_bytes(array: Array) -> Array:
    if array.dtype.kind not in "fc" or array.dtype.itemsize == 1:
        return _same_width(array)
    return array.view(array.dtype.newbyteorder())


# Each spoils one of the arrays, or both in the same way.
Spoil = Callable[[Array, int], Array]
WRONG_ARRAYS: dict[str, tuple[type[KVRingError], Spoil]] = {
    "other dtype": (DTypeError, lambda a, tokens: _other_width(a)),
    "other dtype of the same width": (DTypeError, lambda a, tokens: _same_width(a)),
    "swapped bytes": (DTypeError, lambda a, tokens: _swapped_bytes(a)),
    "object": (DTypeError, lambda a, tokens: np.zeros(a.shape, object)),
    "three axes": (ShapeError, lambda a, tokens: a[0]),
    "five axes": (ShapeError, lambda a, tokens: a[None]),
    "no axes": (ShapeError, lambda a, tokens: np.zeros((), a.dtype)),
    "one batch row more": (ShapeError, lambda a, tokens: _padded(a, 0)),
    "no batch rows": (ShapeError, lambda a, tokens: a[:0]),
    "one head more": (ShapeError, lambda a, tokens: _padded(a, 3 - tokens)),
    "no heads": (ShapeError, lambda a, tokens: a[:, :0] if tokens == 2 else a[:, :, :0]),
    "one element more": (ShapeError, lambda a, tokens: _padded(a, 3)),
    "no elements": (ShapeError, lambda a, tokens: a[..., :0]),
}


def wrong_call(name: str, spoiled: str) -> tuple[type[KVRingError], Call]:
    """The error to expect, and a call that must raise it.

    `spoiled` says which of K and V is wrong: ``"keys"``, ``"values"`` or ``"both"``.
    """
    if name in WRONG_ARGUMENTS:
        return WRONG_ARGUMENTS[name]
    error, spoil = WRONG_ARRAYS[name]

    def call(cache: Any, layer: int, keys: Array, values: Array) -> Any:
        axis = token_axis(cache.config.layout)
        given_keys = keys if spoiled == "values" else spoil(keys, axis)
        given_values = values if spoiled == "keys" else spoil(values, axis)
        return cache.update(layer, given_keys, given_values)

    return error, call


WRONG_CALLS = st.sampled_from([*WRONG_ARGUMENTS, *WRONG_ARRAYS])
