"""Attention that reads the ring in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiling import attention_kernel
from ..options import checked_bool, checked_int
from ..view import KVView
from .checks import Call, checked_call, checked_factor, name_of
from .tiles import scratch_floats
from .workers import spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["attend"]

# Fewer bytes than this are read before another thread has woken up to help.
LEAST_BYTES_TO_SHARE = 1 << 16

NO_FLOATS: NDArray[np.float32] = np.empty(0, np.float32)
NO_LSE: NDArray[np.float32] = np.empty((0, 0, 0), np.float32)
NO_SCORES: NDArray[np.float32] = np.empty((0, 0, 0, 0), np.float32)


def attend(
    query: NDArray[Any],
    view: KVView,
    *,
    scale: float | None = None,
    softcap: float | None = None,
    sink_logits: NDArray[np.float32] | None = None,
    out: NDArray[np.float32] | None = None,
    weights: bool = False,
    lse: bool = False,
    threads: int = 1,
) -> Any:
    """Exact attention of new queries over the rows of a view, where they lie.

    Rows are read in place, in whatever order and pieces: no gather, no copy of K or V. Each query
    sees what ``view.mask()`` allows it; rows that it does not see are not looked at.

    Parameters
    ----------
    query : array
        ``(batch, queries, query_heads, head_dim)``, or heads first in layout BHSD; float32 or of
        the storage's dtype, any strides. One query for each of the view's: those of the new
        tokens. Query head h attends to KV head ``h // (query_heads // kv_heads)``.
    view : KVView
        Of float32, float16 or bfloat16 storage.
    scale : float, optional
        What scores are multiplied with; ``head_dim ** -0.5`` by default.
    softcap : float, optional
        Scores become ``softcap * tanh(score / softcap)``.
    sink_logits : float32 array (query_heads,), optional
        A learned score per query head that takes its share of the weights and has no value.
    out : float32 array, optional
        Where the output goes; contiguous, sharing no memory with query, K or V.
    weights : bool
        Whether to return the attention weights: float32 ``(batch, queries, query_heads, rows)``, or
        heads first; rows as in ``view.positions``, 0 where a query may not attend.
    lse : bool
        Whether to return log-sum-exp of the scores, float32 ``(batch, queries, query_heads)``, or
        heads first; -inf for a query that sees nothing. What `merge_attention` needs.
    threads : int
        Over how many threads KV heads and batch rows are spread.

    Returns
    -------
    array, or tuple of arrays
        The output, float32 like `query` with value_dim last; then weights and log-sum-exp if they
        are asked for. A query that sees nothing gets zeros, and so does one of which all scores are
        -inf.

    Raises
    ------
    ShapeError, DTypeError, ConfigError
        If an argument does not fit the view or is out of range. Nothing is written.
    StaleViewError
        If the layer has changed since the view was made. Nothing is written.

    Notes
    -----
    Scores, weights and sums are float32 whatever the storage, with an online softmax in blocks
    (Milakov and Gimelshein, arXiv 1805.02867). Cost: every row is read once for all query heads of
    its KV head; the output differs from float64 attention by some units in the last place of
    float32, and in the order of its sums from that of another order of rows. A NaN in a query
    stays in its output.
    Threads: as with the view's arrays, the caller keeps writers of this layer away.

    Examples
    --------
    >>> from kvring import Circular, KVCache
    >>> cache = KVCache(layers=1, kv_heads=1, head_dim=2, strategy=Circular(window=2))
    >>> for token in range(4):
    ...     new = np.full((1, 1, 1, 2), token, np.float32)
    ...     view = cache.update(0, new, new)
    >>> query = np.zeros((1, 1, 2, 2), np.float32)  # two query heads, which weigh all rows alike
    >>> attend(query, view).ravel().tolist()  # the mean of tokens 2 and 3
    [2.5, 2.5, 2.5, 2.5]
    """
    threads = checked_int("threads", threads, least=1)
    weights, lse = checked_bool("weights", weights), checked_bool("lse", lse)
    cap = checked_factor("softcap", softcap, 0.0)
    call = checked_call(query, view, sink_logits, out)
    factor = checked_factor("scale", scale, call.query.shape[3] ** -0.5)
    output = call.new(call.pair[1].shape[3]) if out is None else out
    sums = call.new() if lse or weights else NO_LSE
    if call.padded:  # padding is no query, and nobody else fills its places
        output.fill(0)
        sums.fill(-np.inf)
    scores = call.new(view.row_count) if weights else NO_SCORES
    if weights:
        scores.fill(-np.inf)
    logits = NO_FLOATS if sink_logits is None else sink_logits
    _run(call, (logits, output, sums, scores), (factor, cap), threads)
    results: list[Any] = [output]
    if weights:
        results.append(_weights(scores, sums))
    if lse:
        results.append(sums)
    return tuple(results) if len(results) > 1 else output


def _run(call: Call, results: tuple[Any, ...], factors: tuple[float, float], threads: int) -> None:
    """Fill the results, one part of the KV heads per thread."""
    keys, values = call.pair
    kv_heads, tokens = keys.shape[3 - call.token_axis], call.query.shape[call.token_axis]
    units, group = keys.shape[0] * kv_heads, call.query.shape[3 - call.token_axis] // kv_heads
    kernel = attention_kernel(name_of(keys.dtype))

    def part(start: int, stop: int) -> None:
        here = min(stop - start, kv_heads)
        needed = scratch_floats(here, tokens, group, keys.shape[3], values.shape[3])
        last = (*results, np.empty(needed, np.float32), *factors)
        if len(call.spans) == 1:
            first, *queries = call.asked[0]
            given = (*last, first, call.token_axis, start, stop, *queries)
            kernel(call.query, keys, values, call.spans[0], *given)
            return
        for batch_row in range(start // kv_heads, -(-stop // kv_heads)):
            ends = max(start, batch_row * kv_heads), min(stop, (batch_row + 1) * kv_heads)
            first, *queries = call.asked[batch_row % len(call.asked)]
            given = (*last, first, call.token_axis, *ends, *queries)
            kernel(call.query, keys, values, call.spans[batch_row], *given)

    if threads > 1:
        rows = max(int(spans[:, 2].sum()) for spans in call.spans)
        nbytes = rows * units * (keys.shape[3] + values.shape[3]) * keys.itemsize * tokens
        spread(part, units, threads if nbytes >= LEAST_BYTES_TO_SHARE else 1)
    else:
        part(0, units)


def _weights(scores: NDArray[np.float32], lse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores to weights, in place; what was never scored is 0, whatever the others are."""
    unseen = np.isneginf(scores)
    seen = np.where(np.isneginf(lse), np.float32(0), lse)
    np.subtract(scores, seen[..., None], out=scores, where=~unseen)
    np.exp(scores, out=scores)
    return scores
