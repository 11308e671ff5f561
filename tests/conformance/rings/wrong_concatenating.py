"""Wrong: caches that concatenate along the wrong axis, or onto or without the wrong rows."""

from dataclasses import replace

import numpy as np

from tests.conformance.rings.concatenating import AppendAll, BlockRing, LazyRing, ReplaceAll
from tests.conformance.rings.planted import planted


@planted("refused", "shape", steps=2, known="concatenation on the heads axis")
class ConcatenatesHeads(AppendAll):
    """New rows become new heads."""

    tokens_axis = 2


@planted("unwritten", "missing", steps=1, known="appending onto a preallocated zero buffer")
class AppendsOntoZeros(AppendAll):
    """The buffer was made full of zeros, and new rows are put behind them."""

    def add(self, held, keys, values):
        if not held.seq_len:
            held.keys, held.values = (
                np.zeros_like(np.repeat(rows[:, :1], held.capacity, axis=1))
                for rows in (keys, values)
            )
            held.positions = np.zeros(held.capacity, int)
        super().add(held, keys, values)


@planted("resurrected", "reset", steps=3)
class ResetForgetsToForget(AppendAll):
    """Reset sets the length back and leaves the rows."""

    def reset(self):
        for held in self.layers:
            held.seq_len = 0


@planted("missing", "unwritten", "twice", steps=2)
class GrowsWithoutTheLastRow(AppendAll):
    """When the buffer is doubled, the newest row is left behind."""

    def add(self, held, keys, values):
        full = held.seq_len and held.seq_len % held.capacity == 0
        super().add(held, keys, values)
        if full:
            held.keep(held.positions != held.seq_len - keys.shape[1] - 1)


@planted("resurrected", steps=2)
class ReplaceAppends(ReplaceAll):
    """The old rows stay in front of those that replace them."""

    def make_room(self, held, tokens):
        if tokens > held.capacity:
            raise OverflowError(tokens)
        held.seq_len = 0


@planted("stale", steps=2)
class LazyKeepsOneTooMany(LazyRing):
    """Before a chunk W old rows are kept instead of W - 1."""

    def make_room(self, held, tokens):
        self.keep_newest(held, held.window)


@planted("missing", steps=2)
class LazyKeepsTheWindowOfTheLast(LazyRing):
    """Before a chunk only those old rows are kept that its last query sees."""

    def make_room(self, held, tokens):
        self.keep_newest(held, max(held.window - tokens, 0))


@planted("stale", steps=2)
class LazyForgetsToCut(LazyRing):
    """Rows are cut down when there are more than twice the window, and not before."""

    def make_room(self, held, tokens):
        if len(held.positions) > 2 * held.window:
            super().make_room(held, tokens)


@planted("stale", steps=2)
class LazyCutsFromMinusZero(LazyRing):
    """``rows[-(window - 1):]`` is everything where the window is 1."""

    supports = replace(LazyRing.supports, most_sink_tokens=0)

    def keep_newest(self, held, count):
        held.keep(slice(-count, None))


@planted("missing", "refused and changed", "batch operations", steps=2)
class TruncateByZeroDropsAll(AppendAll):
    """``rows[:-back]`` is nothing where `back` is 0."""

    def drop(self, held, seq_len):
        back = held.seq_len - seq_len
        held.keep(slice(0, -back))
        held.seq_len = seq_len


@planted("counters", "refused and changed", steps=2)
class TruncateToZeroIgnored(AppendAll):
    """``if seq_len:`` takes a truncate to 0 for none at all."""

    def truncate(self, seq_len):
        if seq_len:
            super().truncate(seq_len)


@planted("missing", steps=2)
class BlockFreedOneTooEarly(BlockRing):
    """A block goes as soon as its first row is older than the window."""

    def oldest_seen(self, held, query):
        first = np.maximum(query - held.window + 1, 0)
        return -(-first // self.BLOCK) * self.BLOCK


@planted("stale", steps=4)
class BlockFreedOneTooLate(BlockRing):
    """A block stays until the next one is over, too."""

    def oldest_seen(self, held, query):
        return np.maximum(super().oldest_seen(held, query) - self.BLOCK, 0)
