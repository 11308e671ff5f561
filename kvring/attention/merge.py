"""Partial results of attention, put together: what several caches or machines found for a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["merge_attention"]


def merge_attention(
    outputs: Sequence[NDArray[np.float32]], lses: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Partial results over several caches or machines as one: attention over all their rows.

    Parameters
    ----------
    outputs : sequence of float32 arrays ``(..., value_dim)``
        What `attend` returned for each part, of the same queries.
    lses : sequence of float32 arrays ``(...)``
        The log-sum-exp of each.

    Returns
    -------
    tuple of float32 arrays
        Output and log-sum-exp of all parts together, so that the result may be merged again.

    Raises
    ------
    ShapeError, DTypeError
        If there are no parts, or not as many of one as of the other; if their shapes differ, or
        they are not float32.

    Notes
    -----
    Exact: each part counts by ``exp(lse)``. Parts that saw nothing (-inf) count nothing. A sink
    logit is in the log-sum-exp, so give `sink_logits` to one part only. Cost: a few passes over
    the outputs. Threads: any.

    Examples
    --------
    >>> half = np.float32([[2.0]]), np.float32([[4.0]])
    >>> merge_attention(half, [np.zeros(1, np.float32)] * 2)[0]
    array([[3.]], dtype=float32)
    """
    for name, given in (("outputs", outputs), ("lses", lses)):
        if not isinstance(given, (list, tuple, np.ndarray)):
            got = type(given).__name__
            raise DTypeError(f"merge_attention: expected a list of arrays for {name}, got {got}")
    if not len(outputs) or len(outputs) != len(lses):
        got = f"{len(outputs)} outputs and {len(lses)} lses"
        raise ShapeError(f"merge_attention: expected one lse for each of one or more, got {got}")
    for output, lse in zip(outputs, lses, strict=True):
        _check_float32("outputs", output)
        _check_float32("lses", lse)
        if output.shape != outputs[0].shape or lse.shape != output.shape[:-1]:
            got = f"{output.shape} and {lse.shape}"
            raise ShapeError(f"merge_attention: expected {outputs[0].shape} and its lse, got {got}")
    sums = np.stack(lses)
    top = sums.max(axis=0)
    against = np.where(np.isneginf(top), np.float32(0), top)
    shares = np.exp(sums - against)
    total = shares.sum(axis=0)
    merged = np.zeros_like(outputs[0])
    for share, output in zip(shares, outputs, strict=True):
        merged += share[..., None] * output
    merged /= np.where(total == 0, np.float32(1), total)[..., None]
    with np.errstate(divide="ignore"):
        return merged, against + np.log(total)


def _check_float32(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        got = getattr(array, "dtype", type(array).__name__)
        raise DTypeError(f"merge_attention: expected float32 arrays in {name}, got {got}")
