"""Right: rings that differ from the contract as a declaration may say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from tests.conformance.rings.base import Layer
from tests.conformance.rings.head_order import HeadRing
from tests.conformance.rings.slot_order import SlotRing


class OthersOnly(SlotRing):
    """The window does not count the query's own token."""

    supports = replace(SlotRing.supports, window_counts_self=False)

    def new_layer(self, setup, strategy):
        window = getattr(strategy, "window", 0)
        if not window:
            return Layer(setup, strategy)
        numbers = {name: getattr(strategy, name) for name in ("sink_tokens", "rollback_tokens")}
        return Layer(setup, SimpleNamespace(mode="circular", window=window + 1, **numbers))


class Renumbered(HeadRing):
    """After eviction the next token's position is its place among the rows that it will see."""

    supports = replace(HeadRing.supports, positions="renumbered")

    def next_position(self, layer):
        ring = self.layers[layer]
        return min(ring.seq_len, ring.window - 1) if ring.window else ring.seq_len

    def promise(self, layer, tokens):
        return {"next_position": self.next_position(layer)}

    def shown(self, ring, keys, values, positions, tokens):
        """Rows stand under their places, from 0."""
        seen = super().shown(ring, keys, values, positions, tokens)
        seen.positions = np.arange(len(seen.positions))
        return seen


class Clamped(SlotRing):
    """Truncating to less than nothing, or to more than there is, goes as far as it can."""

    supports = replace(SlotRing.supports, too_many="clamped")

    def truncate(self, seq_len):
        most = min(layer.seq_len for layer in self.layers)
        super().truncate(min(max(seq_len, 0), most))


class SometimesRefuses(SlotRing):
    """Once it has wrapped it cannot go back at all, and says so."""

    supports = replace(SlotRing.supports, truncate="may_refuse")

    def check_resident(self, ring, seq_len):
        if ring.window and ring.seq_len > ring.capacity and 0 < seq_len < ring.seq_len:
            raise RuntimeError("wrapped: cannot go back")
        super().check_resident(ring, seq_len)


class SeesWholePrompt(SlotRing):
    """Within an update of more tokens than the window there is no window."""

    supports = replace(SlotRing.supports, long_prompt="sees_all")

    def sees(self, ring, queries, positions):
        mask = super().sees(ring, queries, positions)
        if ring.window and len(queries) > ring.window:
            mask |= (positions >= queries[0]) & (positions <= queries[:, None])
        return mask


class MissesSinks(SlotRing):
    """In an update of more tokens than the window no query sees sinks that its window leaves."""

    supports = replace(SlotRing.supports, long_prompt="misses_sinks")

    def sees(self, ring, queries, positions):
        mask = super().sees(ring, queries, positions)
        if ring.window and len(queries) > ring.window:
            mask &= positions > queries[:, None] - ring.window
        return mask


class OneByOne(SlotRing):
    """Takes one token at a time."""

    supports = replace(SlotRing.supports, most_chunk=1)

    def update(self, layer, keys, values):
        if self.in_rows(keys).shape[1] > 1:
            raise NotImplementedError("one token at a time")
        return super().update(layer, keys, values)


class KeepsNumbers(SlotRing):
    """Every NaN comes back as the same one, and -0.0 as 0.0."""

    supports = replace(SlotRing.supports, special_values=False, dtypes=("float32", "float16"))

    def put(self, ring, slot, key, value):
        clean = [np.where(np.isnan(rows), np.nan, rows) + 0.0 for rows in (key, value)]
        super().put(ring, slot, *(rows.astype(key.dtype) for rows in clean))
