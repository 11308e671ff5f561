"""Right: caches that concatenate. One keeps all, one replaces all, one cuts down lazily."""

from dataclasses import replace

import numpy as np

from kvring.testing import Rows, Supports
from tests.conformance.rings.base import Backend, Layer


class ConcatLayer(Layer):
    """K and V are no longer than what they hold."""

    def __init__(self, setup, strategy):
        super().__init__(setup, strategy)
        self.keep(slice(0))

    def keep(self, rows):
        """Only these rows."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.positions = self.positions[rows]


class Concatenating(Backend):
    """What rows a subclass keeps, and what it shows besides the causal mask, it says itself."""

    supports = Supports(layouts=("BSHD", "BHSD"))
    tokens_axis = 1

    def new_layer(self, setup, strategy):
        return ConcatLayer(setup, strategy)

    def update(self, layer, keys, values):
        held = self.layers[layer]
        keys, values = self.checked(keys, values)
        self.make_room(held, keys.shape[1])
        self.add(held, keys, values)
        return self.shown(held, np.arange(held.seq_len - keys.shape[1], held.seq_len))

    def make_room(self, held, tokens):
        """Before new rows come."""

    def add(self, held, keys, values):
        """New rows behind the old ones, in new arrays."""
        new = np.arange(held.seq_len, held.seq_len + keys.shape[1])
        held.keys = np.concatenate([held.keys, keys], axis=self.tokens_axis)
        held.values = np.concatenate([held.values, values], axis=self.tokens_axis)
        held.positions = np.concatenate([held.positions, new])
        held.seq_len += keys.shape[1]

    def shown(self, held, queries):
        mask = (held.positions >= 0) & (held.positions <= queries[:, None])
        return Rows(self.in_layout(held.keys), self.in_layout(held.values), mask, held.positions)

    def read(self, layer):
        held = self.layers[layer]
        return self.shown(held, np.array([held.seq_len - 1]))

    def drop(self, held, seq_len):
        held.keep(held.positions < seq_len)
        held.seq_len = seq_len


class AppendAll(Concatenating):
    """Grows without end, whatever its capacity."""

    supports = replace(Concatenating.supports, modes=("append",), overflow="grows")


class ReplaceAll(Concatenating):
    """Every update replaces everything; more rows than the capacity are refused."""

    supports = replace(Concatenating.supports, modes=("replace",))

    def make_room(self, held, tokens):
        if tokens > held.capacity:
            raise OverflowError(f"{tokens} tokens, and room for {held.capacity}")
        self.drop(held, 0)


class LazyRing(Concatenating):
    """Keeps the last W - 1 + n rows of an update of n and cuts them down when the next one comes.

    Within a chunk there is no window: its last query sees what its first one sees.
    """

    supports = replace(
        Concatenating.supports,
        modes=("circular",),
        most_rollback_tokens=0,
        eviction="lazy",
        truncate="at_least",
    )

    def make_room(self, held, tokens):
        """The next query sees W - 1 of the old rows."""
        self.keep_newest(held, held.window - 1)

    def keep_newest(self, held, count):
        newest = held.positions >= held.seq_len - count
        held.keep(newest | (held.positions < held.sink_tokens))

    def read(self, layer):
        held = self.layers[layer]
        old = held.positions <= held.seq_len - 1 - held.window
        seen = self.shown(held, np.array([held.seq_len - 1]))
        seen.mask &= ~old | (held.positions < held.sink_tokens)
        return seen


class BlockRing(Concatenating):
    """Frees rows in whole blocks of `BLOCK`; a query sees the rest of its oldest block, too."""

    BLOCK = 3
    supports = replace(
        Concatenating.supports,
        modes=("circular",),
        most_sink_tokens=0,
        most_rollback_tokens=0,
        eviction="blocks",
        block_tokens=BLOCK,
        truncate="at_least",
    )

    def oldest_seen(self, held, query):
        """The first position of the block that the oldest of the window is in."""
        return np.maximum(query - held.window + 1, 0) // self.BLOCK * self.BLOCK

    def make_room(self, held, tokens):
        """Free the blocks that the first new query does not see."""
        held.keep(held.positions >= self.oldest_seen(held, held.seq_len))

    def shown(self, held, queries):
        seen = super().shown(held, queries)
        seen.mask &= held.positions >= self.oldest_seen(held, queries[:, None])
        return seen
