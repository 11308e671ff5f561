"""A ring cache in NumPy, and the adapter through which kvring judges it.

python -m kvring check my_ring:Right
python -m kvring check my_ring:Wrong
"""

import numpy as np

from kvring.testing import Rows


class Ring:
    """A sliding window over one layer: row p sits in slot ``p % window``."""

    def __init__(self, window, row_shape, dtype):
        self.window = window
        self.keys = np.zeros((window, *row_shape), dtype)
        self.values = np.zeros((window, *row_shape), dtype)
        self.positions = np.full(window, -1)
        self.seq_len = 0

    def write(self, keys, values):
        """Store rows ``(tokens, kv_heads, head_dim)`` in their slots."""
        for key, value in zip(keys, values):
            slot = self.seq_len % self.window
            self.keys[slot], self.values[slot] = key, value
            self.positions[slot] = self.seq_len
            self.seq_len += 1


class Right:
    """What the oracle talks to: `update` takes new rows, and shows what their queries may see."""

    supports = {
        "modes": ["circular"],
        "row_order": "slots",
        "most_batch": 1,
        "most_sink_tokens": 0,
        "most_rollback_tokens": 0,
        "without": {"wrong_shapes": "nothing is checked"},
    }

    def __init__(self, setup):
        shape = (setup.kv_heads, setup.head_dim)
        self.rings = [Ring(setup.window, shape, setup.dtype) for _ in range(setup.layers)]

    def update(self, layer, keys, values):
        """K and V are ``(batch, tokens, kv_heads, head_dim)``."""
        ring = self.rings[layer]
        new = np.arange(ring.seq_len, ring.seq_len + keys.shape[1])
        # What the queries need and the write will overwrite has to be looked up first.
        seen = ring.positions >= 0
        positions = np.concatenate([ring.positions[seen], new])
        seen_keys = np.concatenate([ring.keys[seen], keys[0]])
        seen_values = np.concatenate([ring.values[seen], values[0]])
        ring.write(keys[0], values[0])
        return self.shown(ring, seen_keys, seen_values, positions, new)

    def shown(self, ring, keys, values, positions, queries):
        """All rows, and a mask that says which query may attend to which."""
        age = queries[:, None] - positions
        mask = (age >= 0) & (age < ring.window)
        return Rows(keys[None], values[None], mask, positions)

    def seq_len(self, layer):
        return self.rings[layer].seq_len


class Wrong(Right):
    """Writes first and looks afterwards: early queries of a chunk lose rows they need."""

    def update(self, layer, keys, values):
        ring = self.rings[layer]
        new = np.arange(ring.seq_len, ring.seq_len + keys.shape[1])
        ring.write(keys[0], values[0])
        seen = ring.positions >= 0
        return self.shown(ring, ring.keys[seen], ring.values[seen], ring.positions[seen], new)
