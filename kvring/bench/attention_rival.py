"""What a rival in attention is: one new query over rows that are already there.

A factory takes an `AttentionSetup`. A complete one, over rows as NumPy has them::

    import numpy as np

    class MyAttention:
        def __init__(self, setup):
            self.setup = setup

        def load(self, keys, values, query):
            self.keys, self.values, self.query = keys[0], values[0], query[0, 0]

        def attend(self):
            outputs = []
            group = self.setup.query_heads // self.setup.kv_heads
            for head, query in enumerate(self.query):
                keys, values = self.keys[:, head // group], self.values[:, head // group]
                scores = keys @ query * self.setup.head_dim ** -0.5
                weights = np.exp(scores - scores.max())
                outputs.append(weights / weights.sum() @ values)
            return np.array(outputs)

and is measured with ``--kvring-attention-rival my_module:MyAttention``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["AttentionRival", "AttentionSetup"]


@dataclass(frozen=True)
class AttentionSetup:
    """What a rival is built for.

    Parameters
    ----------
    kv_heads, query_heads, head_dim : int
        Query head h reads KV head ``h // (query_heads // kv_heads)``. The batch is 1.
    dtype : str
        NumPy's name of the storage dtype.
    rows : int, tokens
        How many rows the query attends to: all of them.
    threads : int
        How many threads may work.
    """

    kv_heads: int
    query_heads: int
    head_dim: int
    dtype: str
    rows: int
    threads: int = 1


class AttentionRival(Protocol):
    """One decode step of attention in one layer.

    Notes
    -----
    ``shown(output)``: what `attend` returned as a NumPy array whose elements are
    ``(query_heads, head_dim)`` in order. Untimed; without it, ``np.asarray``.

    ``close()``: give back threads and settings. Called when the case is over.
    """

    def load(self, keys: Any, values: Any, query: Any) -> None:
        """Rows ``(1, rows, kv_heads, head_dim)`` of the storage dtype, in the form that suits
        the rival best, and a float32 query ``(1, 1, query_heads, head_dim)``. Untimed."""

    def attend(self) -> Any:
        """Attention of the query over all rows. Timed."""
