"""What the rings that show rows and a mask share: layouts, checks, counters, operations on all."""

import copy
import io

import numpy as np

from kvring.testing import Supports


class Layer:
    """Buffers of one layer in slot order, and which position each slot holds (-1: none)."""

    def __init__(self, setup, strategy):
        # A setup is an object of the oracle or, in the script of a report, a plain namespace.
        self.mode = getattr(strategy, "mode", type(strategy).__name__.lower())
        self.window = getattr(strategy, "window", 0)
        self.sink_tokens = getattr(strategy, "sink_tokens", 0)
        self.rollback_tokens = getattr(strategy, "rollback_tokens", 0)
        turning = self.window + self.rollback_tokens
        self.capacity = self.sink_tokens + turning if self.window else strategy.capacity
        shape = (setup.batch, self.capacity, setup.kv_heads)
        self.keys = np.zeros((*shape, setup.head_dim), setup.dtype)
        self.values = np.zeros((*shape, setup.value_dim), setup.dtype)
        self.positions = np.full(self.capacity, -1)
        self.seq_len = 0

    def sees(self, queries, positions):
        """Mask ``(queries, positions)`` of the contract's visible sets."""
        queries = np.asarray(queries)[:, None]
        mask = (positions >= 0) & (positions <= queries)
        if self.window:
            mask &= (positions < self.sink_tokens) | (positions > queries - self.window)
        return mask


class Backend:
    """An adapter; a subclass says where rows go and what is shown.

    It offers `update(layer, keys, values)`, `read(layer)` and `drop(layer, seq_len)`.
    """

    supports = Supports(row_order="slots", layouts=("BSHD", "BHSD"))

    def __init__(self, setup):
        self.setup = setup
        self.batch = setup.batch
        self.layers = [self.new_layer(setup, strategy) for strategy in setup.strategies]

    def new_layer(self, setup, strategy):
        return Layer(setup, strategy)

    # What comes in and goes out

    def in_rows(self, array):
        """As ``(batch, tokens, kv_heads, dim)``."""
        return array if self.setup.layout == "BSHD" else array.swapaxes(1, 2)

    def in_layout(self, rows):
        """As the caller gave them."""
        return rows if self.setup.layout == "BSHD" else rows.swapaxes(1, 2)

    def checked(self, keys, values):
        """K and V as rows, once both are known to fit."""
        tokens = self.in_rows(keys).shape[1]
        dims = (self.setup.head_dim, self.setup.value_dim)
        for array, dim in zip((keys, values), dims, strict=True):
            expected = (self.batch, tokens, self.setup.kv_heads, dim)
            got = self.in_rows(array).shape
            if got != expected:
                raise ValueError(f"expected {expected}, got {got}")
        return self.in_rows(keys), self.in_rows(values)

    # Counters

    def seq_len(self, layer):
        return self.layers[layer].seq_len

    def next_position(self, layer):
        return self.layers[layer].seq_len

    # Operations on all layers

    def truncate(self, seq_len):
        """Drop the newest tokens of all layers, or of none."""
        self.check_total(seq_len)
        for layer in self.layers:
            self.check_resident(layer, seq_len)
        for layer in self.layers:
            self.drop(layer, seq_len)

    def check_total(self, seq_len):
        if not 0 <= seq_len <= min(layer.seq_len for layer in self.layers):
            raise IndexError(f"cannot truncate to {seq_len}")

    def check_resident(self, layer, seq_len):
        """All that the newest token left would see must still be there."""
        positions = np.arange(seq_len)
        needed = positions[layer.sees([seq_len - 1], positions)[0]]
        gone = set(needed.tolist()) - set(self.resident(layer).tolist())
        if gone:
            raise IndexError(f"cannot truncate to {seq_len}: position {min(gone)} is gone")

    def resident(self, layer):
        return layer.positions

    def reset(self):
        for layer in self.layers:
            self.drop(layer, 0)

    def copy(self):
        return copy.deepcopy(self)

    def save_and_load(self):
        """Through bytes, as a file would."""
        file = io.BytesIO()
        np.savez(file, **self.saved())
        file.seek(0)
        loaded = type(self)(self.setup)
        loaded.batch = self.batch
        with np.load(file) as arrays:
            for number, layer in enumerate(loaded.layers):
                for name in vars(layer).keys() & {name.split(".")[1] for name in arrays}:
                    array = arrays[f"{number}.{name}"]
                    setattr(layer, name, array if array.ndim else int(array))
        return loaded

    def saved(self):
        """Every array and counter of every layer, by name."""
        return {
            f"{number}.{name}": value
            for number, layer in enumerate(self.layers)
            for name, value in vars(layer).items()
            if not isinstance(value, str)
        }

    # Operations on batch rows

    def take(self, batch_rows):
        for layer in self.layers:
            layer.keys = layer.keys[batch_rows]
            layer.values = layer.values[batch_rows]
        self.batch = len(batch_rows)

    def reorder(self, batch_rows):
        self.take(list(batch_rows))

    def select(self, batch_rows):
        self.take(list(batch_rows))

    def repeat(self, times):
        self.take([row for row in range(self.batch) for _ in range(times)])
