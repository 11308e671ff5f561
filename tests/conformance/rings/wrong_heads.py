"""Wrong: rings that know where their oldest row is, and lose it."""

import copy
from dataclasses import replace

import numpy as np

from tests.conformance.rings.head_order import HeadRing
from tests.conformance.rings.planted import planted

CIRCULAR = replace(HeadRing.supports, modes=("circular",))


@planted("counters", steps=2, known="clamping the length to the window")
class ClampedLength(HeadRing):
    """The length is clamped to the window, and with it the position of the next token."""

    supports = CIRCULAR

    def seq_len(self, layer):
        ring = self.layers[layer]
        return min(ring.seq_len, ring.window)

    def next_position(self, layer):
        return self.seq_len(layer)


@planted("twice", "missing", "unwritten", steps=4, known="circular that shifts by copying")
class ShiftsByCopying(HeadRing):
    """Old rows move down by one to make room: from the newest on, each over one not yet moved."""

    supports = CIRCULAR

    def push(self, ring, key, value):
        if ring.length == ring.capacity:
            for slot in reversed(range(1, ring.capacity)):
                ring.keys[:, slot - 1] = ring.keys[:, slot]
                ring.values[:, slot - 1] = ring.values[:, slot]
            ring.length -= 1
        ring.keys[:, ring.length], ring.values[:, ring.length] = key, value
        ring.length += 1
        ring.seq_len += 1


@planted("order", "batch operations", steps=4, known="physical order returned as if temporal")
class PhysicalOrder(HeadRing):
    """Rows come in slot order and are said to come oldest first."""

    supports = CIRCULAR

    def read(self, layer):
        seen, ring = super().read(layer), self.layers[layer]
        if seen.mask.size:
            turn = np.argsort(seen.positions % ring.capacity)
            seen.keys, seen.values = (
                self.in_layout(self.in_rows(rows)[:, turn]) for rows in (seen.keys, seen.values)
            )
            seen.mask, seen.positions = seen.mask[:, turn], seen.positions[turn]
        return seen


@planted("order", "missing", "future", "stale", steps=2)
class PositionsByRowNumber(HeadRing):
    """The position of a row is its number in the view, whatever has gone before it."""

    supports = CIRCULAR

    def shown(self, ring, keys, values, positions, tokens):
        seen = super().shown(ring, keys, values, positions, tokens)
        seen.positions = np.arange(len(seen.positions))
        return seen


@planted("resurrected", "reset", steps=6)
class HeadNotReset(HeadRing):
    """Reset empties the ring and leaves its head where it was."""

    supports = CIRCULAR

    def reset(self):
        for ring in self.layers:
            ring.length = ring.seq_len = 0


@planted("save and load", steps=8)
class SaveLosesHead(HeadRing):
    """The rows are saved as they lie, without the slot of the oldest."""

    supports = CIRCULAR

    def saved(self):
        names = super().saved()
        return {name: value for name, value in names.items() if not name.endswith(".head")}


@planted("disturbed", steps=2)
class CopySharesMemory(HeadRing):
    """The copy has counters of its own, over the same buffers."""

    def copy(self):
        twin = copy.copy(self)
        twin.layers = [copy.copy(layer) for layer in self.layers]
        return twin


@planted("disturbed", steps=2)
class CopySharesCounters(HeadRing):
    """The copy has buffers of its own and the counters of the original."""

    def copy(self):
        return copy.copy(self)


@planted("missing", "twice", "resurrected", "mixed row", "unwritten", "stale", steps=3)
class RollbackMovesTheHead(HeadRing):
    """Dropping the newest rows takes them from the oldest end."""

    supports = CIRCULAR

    def drop(self, ring, seq_len):
        back = ring.seq_len - seq_len
        super().drop(ring, seq_len)
        if seq_len:
            ring.head = (ring.head + back) % ring.capacity


@planted("mixed row", "batch operations", steps=4)
class ValuesLeftBehind(HeadRing):
    """A row of V goes to the slot before that of its K once the ring has wrapped."""

    supports = CIRCULAR

    def push(self, ring, key, value):
        wrapped = ring.length == ring.capacity
        slot = ring.seq_len % ring.capacity
        kept = ring.values[:, slot].copy()
        super().push(ring, key, value)
        if wrapped:
            ring.values[:, slot] = kept


@planted("mixed row", "refused and changed", steps=2)
class OneHeadForAll(HeadRing):
    """All KV heads get the rows of the first."""

    def push(self, ring, key, value):
        super().push(ring, key[:, :1], value[:, :1])


@planted("refused", steps=5)
class RollsBackOnlyOnce(HeadRing):
    """What was rolled back once is never again allowed for, though new tokens have come since."""

    supports = CIRCULAR

    def check_resident(self, ring, seq_len):
        super().check_resident(ring, seq_len)
        if getattr(ring, "rolled_back", 0) and 0 < seq_len < ring.seq_len:
            raise RuntimeError("nothing left to roll back")

    def drop(self, ring, seq_len):
        ring.rolled_back = ring.seq_len - seq_len if seq_len else 0
        super().drop(ring, seq_len)


@planted("shape", "refused", steps=1)
class ValuesAsWideAsKeys(HeadRing):
    """Room for V is made as wide as K."""

    supports = replace(HeadRing.supports, head_dims=(8, 16))

    def new_layer(self, setup, strategy):
        ring = super().new_layer(setup, strategy)
        ring.values = ring.keys.copy()
        return ring


@planted("stale", "missing", "future", steps=2)
class MaskOfLayer0(HeadRing):
    """The mask is made once per step, for layer 0, whatever the others have seen."""

    def shown(self, ring, keys, values, positions, tokens):
        ahead = self.layers[0].seq_len - ring.seq_len
        return super().shown(ring, keys, values, positions - ahead, tokens)
