"""Three ways to attend to the rows of a cache: the obvious one, NumPy's best one, and kvring's.

Each takes queries `(query_heads, tokens, head_dim)` and a view of a cache, and returns
`(tokens, query_heads * head_dim)`. Query head h reads KV head h // group.
"""

from typing import Protocol, cast

import numpy as np
from caches import View
from numpy.typing import NDArray
from weights import Floats

import kvring


class Attention(Protocol):
    """What the model asks of attention."""

    def begin(self, view: View) -> None:
        """Look at the first layer's view: a mask depends on positions alone, which all share."""

    def __call__(self, queries: Floats, view: View) -> Floats:
        """Return softmax(queries keys^T / sqrt(head_dim)) values, for all heads side by side."""


class NumPyAttention:
    """One product per KV head for its keys and one for its values; neither is ever repeated.

    Query heads that share a KV head stand below each other in one matrix. Rows that nobody may
    attend to still enter the products with weight 0, so they must hold finite numbers.
    """

    def begin(self, view: View) -> None:
        """Keep the mask, unless it hides nothing, as for one new token in a full ring."""
        mask = view.mask()
        self._mask: NDArray[np.bool_] | None = None if mask.all() else mask

    def __call__(self, queries: Floats, view: View) -> Floats:
        """Return the attended values of all queries."""
        keys, values = (array[0] for array in view)
        return _softmax_product(queries, keys, values, self._mask)


class RepeatingAttention(NumPyAttention):
    """The code everybody writes first: K and V are repeated until every query head has its own."""

    def __call__(self, queries: Floats, view: View) -> Floats:
        """Return the attended values of all queries."""
        keys, values = (array[0] for array in view)
        group = len(queries) // len(keys)
        repeated = np.repeat(keys, group, axis=0), np.repeat(values, group, axis=0)
        return _softmax_product(queries, *repeated, self._mask)


class RingAttention:
    """kvring reads the rows where they lie, whatever their dtype, and knows who sees what."""

    def begin(self, view: View) -> None:
        """Do nothing."""

    def __call__(self, queries: Floats, view: View) -> Floats:
        """Return the attended values of all queries."""
        attended: Floats = kvring.attend(queries[None], cast("kvring.KVView", view))[0]
        return attended.swapaxes(0, 1).reshape(queries.shape[1], -1)


def _softmax_product(
    queries: Floats, keys: Floats, values: Floats, mask: NDArray[np.bool_] | None
) -> Floats:
    """Return the attention of `(query_heads, tokens, head_dim)` over `(kv_heads, rows, head_dim)`.

    The mask is `(tokens, rows)`, True = may attend, or None.
    """
    query_heads, tokens, head_dim = queries.shape
    kv_heads, rows, _ = keys.shape
    stacked = queries.reshape(kv_heads, -1, head_dim) * head_dim**-0.5
    scores = stacked @ keys.swapaxes(1, 2)
    if mask is not None:
        by_head = scores.reshape(query_heads, tokens, rows)
        np.copyto(by_head, -np.inf, where=~mask)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    totals = scores.sum(axis=-1, keepdims=True)
    attended: Floats = (scores @ values) / totals
    return attended.reshape(query_heads, tokens, head_dim).swapaxes(0, 1).reshape(tokens, -1)
