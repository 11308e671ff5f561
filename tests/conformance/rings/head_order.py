"""Right: a ring that knows only where its oldest row is and how many there are; oldest first."""

from dataclasses import replace

import numpy as np

from kvring.testing import Rows
from tests.conformance.rings.base import Backend, Layer


class HeadLayer(Layer):
    """The oldest row is in slot `head`, and `length` rows follow it round the buffer."""

    def __init__(self, setup, strategy):
        super().__init__(setup, strategy)
        self.head = 0
        self.length = 0
        del self.positions

    def slots(self):
        """Slots of the resident rows, oldest first."""
        return (self.head + np.arange(self.length)) % self.capacity

    def resident(self):
        """Positions of the resident rows, oldest first."""
        return np.arange(self.seq_len - self.length, self.seq_len)


class HeadRing(Backend):
    """Head and length, no sinks; rows are gathered oldest first."""

    supports = replace(Backend.supports, row_order="temporal", most_sink_tokens=0)

    def new_layer(self, setup, strategy):
        return HeadLayer(setup, strategy)

    def update(self, layer, keys, values):
        ring = self.layers[layer]
        keys, values = self.checked(keys, values)
        tokens = keys.shape[1]
        self.check_room(ring, tokens)
        if ring.mode == "replace":
            self.drop(ring, 0)
        slots, positions = (
            ring.slots(),
            np.arange(ring.seq_len - ring.length, ring.seq_len + tokens),
        )
        keys_seen = np.concatenate([ring.keys[:, slots], keys], axis=1)
        values_seen = np.concatenate([ring.values[:, slots], values], axis=1)
        for token in range(tokens):
            self.push(ring, keys[:, token], values[:, token])
        return self.shown(ring, keys_seen, values_seen, positions, tokens)

    def check_room(self, ring, tokens):
        resident = ring.length if ring.mode == "append" else 0
        if not ring.window and resident + tokens > ring.capacity:
            raise OverflowError(f"{tokens} tokens, and room for {ring.capacity - resident}")

    def push(self, ring, key, value):
        """Write behind the newest row, over the oldest one if the ring is full."""
        slot = ring.seq_len % ring.capacity
        ring.keys[:, slot], ring.values[:, slot] = key, value
        ring.seq_len += 1
        if ring.length < ring.capacity:
            ring.length += 1
        else:
            ring.head = (ring.head + 1) % ring.capacity

    def shown(self, ring, keys, values, positions, tokens):
        """The rows that at least one of the newest `tokens` queries sees."""
        queries = np.arange(ring.seq_len - max(tokens, 1), ring.seq_len)
        mask = self.sees(ring, queries, positions)
        used = mask.any(axis=0)
        rows = [self.in_layout(array[:, used]) for array in (keys, values)]
        return Rows(*rows, mask[:, used], positions[used])

    def sees(self, ring, queries, positions):
        return ring.sees(queries, positions)

    def read(self, layer):
        ring = self.layers[layer]
        slots = ring.slots()
        return self.shown(ring, ring.keys[:, slots], ring.values[:, slots], ring.resident(), 1)

    def promise(self, layer, tokens):
        """The width of the mask: the window of each new token, side by side."""
        ring = self.layers[layer]
        before = 0 if ring.mode == "replace" else ring.seq_len
        rows = before + tokens
        if ring.window:
            rows = min(rows, ring.window - 1 + tokens)
        return {"rows": rows, "next_position": ring.seq_len}

    def resident(self, layer):
        return layer.resident()

    def drop(self, ring, seq_len):
        """Forget the newest rows; the head moves only when none are left."""
        ring.length = max(ring.length - (ring.seq_len - seq_len), 0)
        ring.seq_len = seq_len
        if not seq_len:
            ring.head = 0
