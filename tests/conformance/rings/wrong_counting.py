"""Wrong: what is counted, checked, promised, kept and forgotten by a ring in slot order."""

from dataclasses import replace

import numpy as np

from tests.conformance.rings.planted import planted
from tests.conformance.rings.slot_order import SlotRing
from tests.conformance.rings.wrong_windows import CIRCULAR, MAY_REFUSE

ALL_BUT_WINDOWS = replace(SlotRing.supports, modes=("append", "replace"), mixed_layers=False)


@planted("missing", "counters", steps=1, known="one global length")
class OneGlobalLength(SlotRing):
    """All layers share one length: once layer 0 has counted a token, the others append nothing."""

    supports = replace(ALL_BUT_WINDOWS, modes=("append",))

    def write(self, ring, keys, values):
        if ring is self.layers[0]:
            super().write(ring, keys, values)
        ring.seq_len = self.layers[0].seq_len


@planted("refused and changed", steps=2, known="K stored before V is checked")
class KStoredFirst(SlotRing):
    """The new keys are in their slots before the values turn out not to fit."""

    supports = CIRCULAR

    def update(self, layer, keys, values):
        ring, before = self.layers[layer], self.layers[layer].keys
        ring.keys = before.copy()
        slot = self.slot_of(ring, ring.seq_len)
        try:
            ring.keys[:, slot] = self.in_rows(keys)[:, 0]
            self.checked(keys, values)
        except ValueError as error:
            raise error  # and the new keys stay
        ring.keys = before
        return super().update(layer, keys, values)


@planted("refused and changed", steps=2, known="a rejected append that leaves a phantom row")
class PhantomRow(SlotRing):
    """Tokens are counted before it is known whether there is room for them."""

    supports = ALL_BUT_WINDOWS

    def check_room(self, ring, tokens):
        try:
            super().check_room(ring, tokens)
        except OverflowError:
            ring.seq_len += 1
            raise


@planted("accepted", steps=1, known="V shorter than K broadcast silently")
class ShortVBroadcast(SlotRing):
    """One row of V goes to all slots that rows of K went to, as NumPy will have it."""

    def checked(self, keys, values):
        rows = self.in_rows(values)
        if rows.shape[1] == 1:
            rows = np.repeat(rows, self.in_rows(keys).shape[1], axis=1)
        return super().checked(keys, self.in_layout(rows))


@planted(
    "missing",
    "resurrected",
    "stale",
    "twice",
    steps=3,
    known="trim on a wrapped ring that only moves a counter",
)
class TruncateMovesACounter(SlotRing):
    """Nobody asks whether the rows that the window now needs are still there."""

    supports = MAY_REFUSE

    def check_resident(self, ring, seq_len):
        pass


@planted("unwritten", "mixed row", "batch row", steps=1, known="modulo applied to every axis")
class ModuloOnEveryAxis(SlotRing):
    """The wrap is applied to batch rows and heads, too; with more of them than slots it shows."""

    def put(self, ring, slot, key, value):
        batch, kv_heads, _ = key.shape
        for batch_row in range(batch):
            for head in range(kv_heads):
                to = batch_row % ring.capacity, slot, head % ring.capacity
                ring.keys[to], ring.values[to] = key[batch_row, head], value[batch_row, head]


@planted("counters", "missing", steps=2, known="negative trim that adds rows")
class NegativeTrimAdds(SlotRing):
    """Truncating to more than there is trims a negative number of rows, and so counts more."""

    supports = replace(SlotRing.supports, too_many="clamped")

    def truncate(self, seq_len):
        if seq_len > min(layer.seq_len for layer in self.layers):
            for layer in self.layers:
                layer.seq_len -= layer.seq_len - seq_len
        else:
            super().truncate(max(seq_len, 0))


@planted("refused", "mixed row", "counters", "missing", "order", steps=1)
class SharedLayer(SlotRing):
    """One buffer serves all layers: a list multiplied copies nothing."""

    supports = replace(SlotRing.supports, mixed_layers=False)

    def __init__(self, setup):
        super().__init__(setup)
        self.layers = [self.layers[0]] * len(self.layers)


@planted("counters", steps=3)
class TruncatesOneLayer(SlotRing):
    """Truncate drops the tokens of layer 0 alone."""

    def drop(self, ring, seq_len):
        if ring is self.layers[0] or ring.mode == "replace" or not seq_len:
            super().drop(ring, seq_len)


@planted("refused and changed", steps=3)
class RefusesAfterTheFact(SlotRing):
    """Tokens are dropped first; that a row is gone is noticed afterwards."""

    supports = CIRCULAR

    def truncate(self, seq_len):
        self.check_total(seq_len)
        for ring in self.layers:
            self.drop(ring, seq_len)
            self.check_resident(ring, seq_len)


@planted("refused", steps=1)
class FullOneEarly(SlotRing):
    """The last slot is never used."""

    supports = ALL_BUT_WINDOWS

    def check_room(self, ring, tokens):
        super().check_room(ring, tokens + 1)


@planted("accepted", steps=2)
class FullOneLate(SlotRing):
    """One token too many is taken, over the first one."""

    supports = ALL_BUT_WINDOWS

    def check_room(self, ring, tokens):
        super().check_room(ring, tokens - 1)

    def slot_of(self, ring, position):
        return position % ring.capacity


@planted("resurrected", steps=2)
class ReplaceKeepsTheRest(SlotRing):
    """Fewer rows than before replace only the first ones."""

    supports = replace(ALL_BUT_WINDOWS, modes=("replace",))

    def drop(self, ring, seq_len):
        ring.seq_len = seq_len

    def sees(self, ring, queries, positions):
        return (positions >= 0) & ((positions <= queries[:, None]) | (positions > queries[-1]))


@planted("mixed row", "unwritten", steps=1)
class BitsLost(SlotRing):
    """Rows are kept in float32, whatever the dtype they came in."""

    supports = replace(SlotRing.supports, dtypes=("float64",))

    def put(self, ring, slot, key, value):
        with np.errstate(all="ignore"):
            super().put(ring, slot, key.astype(np.float32), value.astype(np.float32))


@planted("inputs", "disturbed", steps=2)
class CleansItsInputs(SlotRing):
    """NaN is replaced by zero in the caller's own arrays."""

    def checked(self, keys, values):
        for array in (keys, values):
            array.flags.writeable = True
            array[array != array] = 0
        return super().checked(keys, values)


@planted("captured position", steps=1)
class LivePosition(SlotRing):
    """The position handed out is the counter itself, which goes on counting."""

    def __init__(self, setup):
        super().__init__(setup)
        self.counters = [np.array([0]) for _ in self.layers]

    def next_position(self, layer):
        for ring, counter in zip(self.layers, self.counters, strict=True):
            counter[0] = ring.seq_len
        return self.counters[layer]

    def write(self, ring, keys, values):
        super().write(ring, keys, values)
        self.next_position(0)


@planted("promise", steps=1)
class PromisesTheWholeHistory(SlotRing):
    """The width promised for the mask grows with the sequence, the rows returned do not."""

    supports = CIRCULAR

    def promise(self, layer, tokens):
        return {"rows": self.layers[layer].seq_len + tokens}


@planted("promise", steps=1)
class PromisesThePositionAfter(SlotRing):
    """The position promised for the first new token is the one after the last."""

    def promise(self, layer, tokens):
        return {"next_position": self.layers[layer].seq_len + tokens}


@planted("mixed row", "batch row", "unwritten", steps=1)
class BatchRowsMixedUp(SlotRing):
    """The buffer is reshaped from batch rows and slots to slots and batch rows."""

    def shown(self, ring, queries):
        seen = super().shown(ring, queries)
        rows = self.in_rows(seen.values)
        mixed = rows.swapaxes(0, 1).reshape(rows.shape)
        seen.values = self.in_layout(mixed)
        return seen
