"""Wrong: windows, sinks and masks of a ring in slot order."""

from dataclasses import replace

import numpy as np

from tests.conformance.rings.planted import planted
from tests.conformance.rings.slot_order import SlotRing

CIRCULAR = replace(SlotRing.supports, modes=("circular",))
MAY_REFUSE = replace(CIRCULAR, truncate="may_refuse")


@planted("missing", steps=1, known="early queries of a chunk robbed of their window")
class EarlyQueriesRobbed(SlotRing):
    """Rows are written first and looked up afterwards, over what early queries of a chunk need."""

    supports = CIRCULAR

    def leaves_all_in_place(self, ring, tokens):
        return True


@planted("stale", steps=2, known="window off by one: W + 1 keys")
class SeesOneMore(SlotRing):
    """``>=`` for ``>``: a query sees W + 1 keys."""

    supports = MAY_REFUSE

    def sees(self, ring, queries, positions):
        older = (positions >= 0) & (positions == queries[:, None] - ring.window)
        return super().sees(ring, queries, positions) | older


@planted("missing", steps=1, known="window off by one: W - 1 keys")
class SeesOneFewer(SlotRing):
    """The query's own token is not counted, and a query sees W - 1 keys."""

    supports = CIRCULAR

    def sees(self, ring, queries, positions):
        oldest = positions == np.maximum(queries[:, None] - ring.window + 1, ring.sink_tokens)
        return super().sees(ring, queries, positions) & ~oldest


@planted("stale", steps=2)
class RollbackRowsSeen(SlotRing):
    """The mask hides dead slots, but not the rows that are only kept for a rollback."""

    supports = CIRCULAR

    def sees(self, ring, queries, positions):
        return (positions >= 0) & (positions <= queries[:, None])


@planted("missing", steps=3)
class SinkEvicted(SlotRing):
    """Once the ring is full it turns over all slots, those of the sinks too."""

    supports = CIRCULAR

    def slot_of(self, ring, position):
        return position % ring.capacity


@planted("missing", steps=3)
class SinksCountedInTheWindow(SlotRing):
    """Sinks take places of the window: W - S recent keys are left."""

    supports = CIRCULAR

    def sees(self, ring, queries, positions):
        mask = super().sees(ring, queries, positions)
        recent = positions > queries[:, None] - max(ring.window - ring.sink_tokens, 1)
        return mask & (recent | (positions < ring.sink_tokens))


@planted("future", steps=1)
class NoCausalMask(SlotRing):
    """Queries of a chunk see the tokens that come after them."""

    def sees(self, ring, queries, positions):
        last = np.full_like(queries, queries[-1])
        return super().sees(ring, queries, positions) | (
            (positions >= queries[0]) & (positions <= last[:, None])
        )


@planted("missing", steps=2)
class MaskAlignedToTheTop(SlotRing):
    """The causal mask of a chunk starts at row 0 instead of at the rows that were there before."""

    def sees(self, ring, queries, positions):
        triangle = positions <= np.arange(len(queries))[:, None]
        mask = super().sees(ring, queries, positions)
        return mask & triangle if len(queries) > 1 else mask


@planted("missing", "future", steps=1)
class MaskTransposed(SlotRing):
    """Rows and queries change places in a mask that is square."""

    def sees(self, ring, queries, positions):
        mask = super().sees(ring, queries, positions)
        return mask.T if mask.shape[0] == mask.shape[1] else mask


@planted("missing", steps=1)
class ZeroKeysUnwritten(SlotRing):
    """A slot whose key is all zeros is taken for one that was never written."""

    def sees(self, ring, queries, positions):
        mask = super().sees(ring, queries, positions)
        if len(positions) == ring.capacity:
            mask &= ring.keys.any(axis=(0, 2, 3))
        return mask


@planted("resurrected", steps=3)
class SinksFilledOnce(SlotRing):
    """Sinks that were filled once are never written again, not even after a truncate."""

    supports = CIRCULAR

    def put(self, ring, slot, key, value):
        if slot >= ring.sink_tokens or not ring.values[:, slot].any():
            super().put(ring, slot, key, value)


@planted("missing", steps=5)
class LongPromptFromSlotZero(SlotRing):
    """The newest rows of a prompt longer than the ring go to slots 0, 1, ... and not their own."""

    supports = replace(CIRCULAR, most_sink_tokens=0)

    def write(self, ring, keys, values):
        tokens, first = keys.shape[1], max(keys.shape[1] - ring.capacity, 0)
        if not first:
            super().write(ring, keys, values)
            return
        ring.seq_len += tokens
        ring.keys[:], ring.values[:] = keys[:, first:], values[:, first:]
        ring.positions[:] = np.arange(ring.seq_len - ring.capacity, ring.seq_len)


@planted("missing", "refused and changed", steps=2)
class LongPromptKeepsItsBeginning(SlotRing):
    """Of a chunk longer than the ring the first rows stay and not the last."""

    supports = replace(CIRCULAR, most_sink_tokens=0)

    def write(self, ring, keys, values):
        kept, total = ring.capacity, ring.seq_len + keys.shape[1]
        super().write(ring, keys[:, :kept], values[:, :kept])
        ring.seq_len = total
