"""Attention weights as `observe` takes them: checked, and read once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import compiling
from ..dtypes import HALF_WIDE, widened
from ..errors import DTypeError, PolicyError, ShapeError

__all__ = ["Way", "checked_weights", "weighed"]

AXES = ("batch", "query_heads", "queries", "rows")
# So many are weighed before another thread could take the lock of the interpreter.
QUIET_WEIGHTS = 1 << 15
# What a policy wants to know of each row's weights.
Way = Literal["sum", "largest"]


def checked_weights(
    weights: object, *, batch: int, kv_heads: int, queries: int, rows: int
) -> NDArray[Any]:
    """The weights as a plain array of floats, if they have the right axes.

    Not widened yet: their dtype says to what an equal share of 1 was rounded.
    """
    if not isinstance(weights, np.ndarray) or isinstance(weights, np.ma.MaskedArray):
        raise DTypeError(f"weights: expected a numpy.ndarray, got {type(weights).__name__}")
    plain = np.asarray(weights)
    half = plain.dtype.name in HALF_WIDE and plain.dtype.isnative
    if not half and plain.dtype not in (np.float32, np.float64):
        raise DTypeError(f"weights: expected float32 or float64, got {plain.dtype}")
    if plain.ndim != len(AXES):
        raise ShapeError(f"weights: expected 4 axes ({', '.join(AXES)}), got shape {plain.shape}")
    expected = {"batch": batch, "queries": queries, "rows": rows}
    for axis, (name, got) in enumerate(zip(AXES, plain.shape, strict=True)):
        if got != expected.get(name, got):
            raise ShapeError(f"weights: expected {name}={expected[name]} on axis {axis}, got {got}")
    query_heads = plain.shape[1]
    if query_heads == 0 or query_heads % kv_heads:
        raise ShapeError(
            f"weights: expected a multiple of kv_heads={kv_heads} query_heads on axis 1, got"
            f" {query_heads}"
        )
    return plain


def weighed(weights: NDArray[Any], way: Way) -> NDArray[np.float64]:
    """Sum or largest of each row's weights, float64 ``(batch, rows)``; PolicyError for nonsense.

    One pass over the weights. Sums are taken in order, query head by query head.

    Examples
    --------
    >>> weights = np.array([[[[0.25, 0.75]], [[0.5, 0.5]]]])
    >>> weighed(weights, "sum"), weighed(weights, "largest")
    (array([[0.75, 1.25]]), array([[0.5 , 0.75]]))
    """
    weights = widened(weights)
    words = weights.dtype.str.replace("f", "i")
    shape = weights.shape[0], weights.shape[3]
    out = np.zeros(shape, np.float64 if way == "sum" else words)
    if not weights.size:
        return out.astype(np.float64)
    plain = np.ascontiguousarray(weights)
    kernel = compiling.kernel(
        "sum_by_row" if way == "sum" else "largest_by_row",
        plain.itemsize,
        releases_gil=plain.size > QUIET_WEIGHTS,
    )
    signs = kernel(plain.view(words), *((plain, out) if way == "sum" else (out,)))
    by_row = out if way == "sum" else out.view(plain.dtype).astype(np.float64)
    if signs < 0 or not np.isfinite(by_row).all():
        _check_numbers(plain)
    return by_row


def _check_numbers(weights: NDArray[Any]) -> None:
    """Refuse weights if there is nonsense among them: -0.0 and a sum too large are none."""
    fine = (weights >= 0) & np.isfinite(weights)
    if not fine.all():
        wrong = weights[~fine][0]
        raise PolicyError(f"weights: expected finite numbers of at least 0, got {wrong}")
