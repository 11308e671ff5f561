"""Checks of what attend was given, against the view that it is to read."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..compiling import ATTENDED
from ..errors import ConfigError, DTypeError, ShapeError
from ..view import KVView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spans import Asked, Spans
    from ..storage import Pair

__all__ = ["Call", "checked_call", "checked_factor", "name_of"]

FLOAT32 = np.dtype(np.float32)
MOST_FLOAT32 = float(np.finfo(np.float32).max)


@lru_cache
def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, for which NumPy itself takes 6 us."""
    return dtype.name


class Call(NamedTuple):
    """Query, K and V that fit each other."""

    query: NDArray[np.float32]
    pair: Pair
    spans: Spans
    asked: tuple[Asked, ...]
    token_axis: int

    @property
    def padded(self) -> bool:
        """Whether some tokens are no queries."""
        tokens = self.query.shape[self.token_axis]
        return any(of.stop_token - of.first_token < tokens for of in self.asked)

    def new(self, *last: int) -> NDArray[np.float32]:
        """An array like the query, with another last axis, or with none."""
        return np.empty((*self.query.shape[:3], *last), np.float32)


def checked_factor(name: str, value: Any, default: float) -> float:
    """A finite float32, or the default for None; a softcap is above 0."""
    if value is None:
        return default
    if isinstance(value, (str, bytes, bool, np.bool_)):
        raise DTypeError(f"{name}: expected a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise DTypeError(f"{name}: expected a number, got {value!r}") from None
    if not abs(number) <= MOST_FLOAT32 or (name == "softcap" and number <= 0):
        wanted = "a finite float32 above 0" if name == "softcap" else "a finite float32"
        raise ConfigError(f"{name}: expected {wanted}, got {value!s:.80}")
    return number


def checked_call(query: Any, view: Any, sink_logits: Any, out: Any) -> Call:
    """The arguments, if they fit the view, which must not be stale."""
    if not isinstance(view, KVView):
        raise DTypeError(f"view: expected a KVView, got {type(view).__name__}")
    pair, rows, spans = view._attended()
    token_axis = 1 if view.layout == "BSHD" else 2
    given = _checked_query(query, pair, token_axis, rows.query_count)
    call = Call(given, pair, spans, rows.asked, token_axis)
    if sink_logits is not None:
        _check_array("sink_logits", sink_logits, (given.shape[3 - token_axis],))
    if out is not None:
        _check_array("out", out, (*given.shape[:3], pair[1].shape[3]))
        _check_memory(out, [query, *pair, *([] if sink_logits is None else [sink_logits])])
    return call


def _checked_query(query: Any, pair: Pair, token_axis: int, count: int) -> NDArray[np.float32]:
    keys = pair[0]
    if not isinstance(query, np.ndarray) or isinstance(query, np.ma.MaskedArray):
        raise DTypeError(f"query: expected a numpy.ndarray, got {type(query).__name__}")
    if name_of(keys.dtype) not in ATTENDED:
        known = ", ".join(ATTENDED)
        raise DTypeError(f"view: expected storage of {known}, got {keys.dtype.name}")
    plain = np.asarray(query)
    if plain.dtype not in (FLOAT32, keys.dtype):
        wanted = " or ".join(dict.fromkeys(("float32", keys.dtype.name)))
        way_out = "use query.astype('float32')"
        raise DTypeError(f"query: expected {wanted}, got {plain.dtype}; {way_out}")
    axes = ("batch", "queries", "query_heads", "head_dim")
    if token_axis == 2:
        axes = ("batch", "query_heads", "queries", "head_dim")
    if plain.ndim != 4:
        raise ShapeError(f"query: expected 4 axes ({', '.join(axes)}), got shape {plain.shape}")
    sizes = {"batch": keys.shape[0], "queries": count, "head_dim": keys.shape[3]}
    kv_heads = keys.shape[3 - token_axis]
    for axis, (name, got) in enumerate(zip(axes, plain.shape, strict=True)):
        if name == "query_heads" and (got == 0 or got % kv_heads):
            wanted = f"a multiple of kv_heads={kv_heads} query heads"
            raise ShapeError(f"query: expected {wanted} on axis {axis}, got {got}")
        if got != sizes.get(name, got):
            raise ShapeError(f"query: expected {name}={sizes[name]} on axis {axis}, got {got}")
    return plain.astype(np.float32, copy=False)


def _check_array(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise DTypeError(f"{name}: expected a numpy.ndarray, got {type(array).__name__}")
    if array.dtype != np.float32:
        raise DTypeError(f"{name}: expected float32, got {array.dtype}")
    if array.shape != shape:
        raise ShapeError(f"{name}: expected shape {shape}, got {array.shape}")
    if not array.flags.c_contiguous:
        raise ConfigError(f"{name}: expected a contiguous array; use np.ascontiguousarray({name})")


def _check_memory(out: NDArray[Any], others: list[NDArray[Any]]) -> None:
    if not out.flags.writeable:
        raise ConfigError("out: expected an array that can be written to, got a read-only one")
    if any(np.shares_memory(out, other) for other in others):
        raise ConfigError(
            "out: expected memory of its own, got some of query, K, V or sink_logits;"
            " use np.empty(shape, np.float32)"
        )
