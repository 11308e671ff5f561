"""Right: a ring whose buffer is shown as it lies, and a mask says which query may see what."""

from dataclasses import replace

import numpy as np

from kvring.testing import Rows
from tests.conformance.rings.base import Backend


class SlotRing(Backend):
    """Sinks in the first slots, all other positions in turn; truncates exactly as the contract."""

    supports = replace(
        Backend.supports,
        dtypes=("float32", "float16", "int8"),
        head_dims=(8, 16),
        mixed_layers=True,
    )

    def update(self, layer, keys, values):
        ring = self.layers[layer]
        keys, values = self.checked(keys, values)
        self.check_room(ring, keys.shape[1])
        if ring.mode == "replace":
            self.drop(ring, 0)
        queries = np.arange(ring.seq_len, ring.seq_len + keys.shape[1])
        if self.leaves_all_in_place(ring, keys.shape[1]):
            self.write(ring, keys, values)
            return self.shown(ring, queries)
        return self.assembled(ring, queries, keys, values)

    def read(self, layer):
        ring = self.layers[layer]
        return self.shown(ring, np.array([ring.seq_len - 1]))

    def promise(self, layer, tokens):
        """What comes back is the whole buffer, or what is in it and the new rows."""
        ring = self.layers[layer]
        rows = ring.capacity
        if not self.leaves_all_in_place(ring, tokens):
            rows = np.count_nonzero(ring.positions >= 0) + tokens
        return {"rows": rows, "next_position": ring.seq_len}

    def check_room(self, ring, tokens):
        """More tokens than slots: refused, unless old ones give way."""
        resident = ring.seq_len if ring.mode == "append" else 0
        if not ring.window and resident + tokens > ring.capacity:
            raise OverflowError(f"{tokens} tokens, and room for {ring.capacity - resident}")

    def leaves_all_in_place(self, ring, tokens):
        """Whether no row is overwritten that a query of this chunk needs."""
        return not ring.window or tokens <= ring.rollback_tokens + 1

    def slot_of(self, ring, position):
        if not ring.window or position < ring.sink_tokens:
            return position
        turning = ring.window + ring.rollback_tokens
        return ring.sink_tokens + (position - ring.sink_tokens) % turning

    def write(self, ring, keys, values):
        """One row after the other, so that of two with one slot the newer stays."""
        for token in range(keys.shape[1]):
            slot = self.slot_of(ring, ring.seq_len)
            self.put(ring, slot, keys[:, token], values[:, token])
            ring.positions[slot] = ring.seq_len
            ring.seq_len += 1

    def put(self, ring, slot, key, value):
        ring.keys[:, slot], ring.values[:, slot] = key, value

    def shown(self, ring, queries):
        """The whole buffer; dead slots are masked."""
        mask = self.sees(ring, queries, ring.positions)
        keys, values = self.in_layout(ring.keys), self.in_layout(ring.values)
        return Rows(keys, values, mask, ring.positions)

    def assembled(self, ring, queries, keys, values):
        """Old rows and new ones, taken before the new ones are written over the old."""
        old = np.flatnonzero(ring.positions >= 0)
        positions = np.concatenate([ring.positions[old], queries])
        all_keys = np.concatenate([ring.keys[:, old], keys], axis=1)
        all_values = np.concatenate([ring.values[:, old], values], axis=1)
        self.write(ring, keys, values)
        mask = self.sees(ring, queries, positions)
        return Rows(self.in_layout(all_keys), self.in_layout(all_values), mask, positions)

    def sees(self, ring, queries, positions):
        return ring.sees(queries, positions)

    def drop(self, ring, seq_len):
        ring.positions[ring.positions >= seq_len] = -1
        ring.seq_len = seq_len
