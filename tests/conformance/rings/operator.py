"""Right: an attention operator that hides its cache and shows what attention gives."""

import numpy as np

from kvring.testing import Outputs, Supports
from tests.conformance.rings.hiding import HidesRing
from tests.conformance.rings.slot_order import SlotRing


class Operator(HidesRing):
    """Sliding window attention over a ring that nobody else sees."""

    supports = Supports(
        observes="outputs",
        layouts=("BSHD", "BHSD"),
        dtypes=("float32", "float16"),
        head_dims=(64,),
        ragged=(),
    )
    ring_class = SlotRing

    def __init__(self, setup):
        self.ring = self.ring_class(setup)

    def update(self, layer, queries, keys, values):
        """Outputs ``(batch, tokens, query_heads, value_dim)``."""
        seen = self.ring.update(layer, keys, values)
        queries = self.ring.in_rows(queries).astype(np.float64)
        keys, values = self.rows_of(seen)
        scores = self.scores(queries, keys)
        scores = np.where(self.mask(seen, layer), scores, -np.inf)
        with np.errstate(invalid="ignore"):  # a query that sees nothing
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return Outputs(np.einsum("bhts,bshd->bthd", weights, values).astype(seen.keys.dtype))

    def rows_of(self, seen):
        """K and V ``(batch, rows, kv_heads, dim)``, to compute with."""
        rows = (self.ring.in_rows(array) for array in (seen.keys, seen.values))
        return tuple(array.astype(np.float64) for array in rows)

    def scores(self, queries, keys):
        """How much each query looks at each row: ``(batch, query_heads, tokens, rows)``."""
        return np.einsum("bthd,bshd->bhts", queries, keys) / np.sqrt(queries.shape[-1])

    def mask(self, seen, layer):
        return seen.mask
