"""Right: every batch row is a list of its own, so that they may differ in length and be moved."""

import copy
import pickle

import numpy as np

from kvring.testing import Rows, Supports


class Sequence:
    """One batch row of one layer: (position, key, value) of the resident rows, oldest first."""

    def __init__(self, strategy):
        self.mode = getattr(strategy, "mode", type(strategy).__name__.lower())
        self.window = getattr(strategy, "window", 0)
        self.sink_tokens = getattr(strategy, "sink_tokens", 0)
        self.keeps = self.window + getattr(strategy, "rollback_tokens", 0)
        self.capacity = getattr(strategy, "capacity", 0)
        self.rows = []
        self.seq_len = 0

    def sees(self, query, position):
        recent = not self.window or position > query - self.window
        return position <= query and (recent or position < self.sink_tokens)

    def room(self):
        if self.window:
            return float("inf")
        return self.capacity - (0 if self.mode == "replace" else len(self.rows))

    def push(self, key, value):
        self.rows.append((self.seq_len, key, value))
        self.seq_len += 1

    def evict(self):
        """Sinks stay, and the last W + R of the others."""
        if self.window:
            first = self.seq_len - self.keeps
            self.rows = [row for row in self.rows if row[0] < self.sink_tokens or row[0] >= first]

    def truncate(self, seq_len):
        self.rows = [row for row in self.rows if row[0] < seq_len]
        self.seq_len = seq_len


class RowLists:
    """Ragged updates with padding on either side, and every operation on batch rows."""

    supports = Supports(layouts=("BSHD", "BHSD"), dtypes=("float32", "float64"))

    def __init__(self, setup):
        self.setup = setup
        self.layers = [
            [Sequence(strategy) for _ in range(setup.batch)] for strategy in setup.strategies
        ]

    def update(self, layer, keys, values, token_counts=None, padding="right"):
        keys, values = self.checked(keys), self.checked(values)
        if keys.shape[:3] != values.shape[:3]:
            raise ValueError(f"K is {keys.shape} and V is {values.shape}")
        sequences, tokens = self.layers[layer], keys.shape[1]
        counts = [tokens] * len(sequences) if token_counts is None else token_counts
        for sequence, count in zip(sequences, counts, strict=True):
            if count > sequence.room():
                raise OverflowError(f"{count} tokens, and room for {sequence.room()}")
        shown = []
        for batch_row, sequence in enumerate(sequences):
            real = self.real(tokens, counts[batch_row], padding)
            shown.append(self.update_row(sequence, keys[batch_row], values[batch_row], real))
        return Rows(*map(list, zip(*shown, strict=True)))

    def checked(self, array):
        rows = array if self.setup.layout == "BSHD" else array.swapaxes(1, 2)
        if (rows.shape[0], rows.shape[2]) != (len(self.layers[0]), self.setup.kv_heads):
            raise ValueError(f"rows that do not fit: {array.shape}")
        return rows

    def real(self, tokens, count, padding):
        """Which of the tokens are no padding."""
        first = tokens - count if padding == "left" else 0
        return range(first, first + count)

    def update_row(self, sequence, keys, values, real):
        """Take the real tokens; show what is resident before any of it goes."""
        if sequence.mode == "replace":
            sequence.truncate(0)
        queries = np.full(len(keys), -1)
        for token in real:
            queries[token] = sequence.seq_len
            sequence.push(keys[token].copy(), values[token].copy())
        shown = self.shown(sequence, queries)
        sequence.evict()
        return shown

    def shown(self, sequence, queries):
        """K, V, mask and positions of one batch row; a query of -1 is padding and sees nothing."""
        positions = [position for position, _, _ in sequence.rows]
        mask = [[sequence.sees(query, p) for p in positions] for query in queries]
        arrays = []
        for place, dim in ((1, self.setup.head_dim), (2, self.setup.value_dim)):
            shape = (-1, self.setup.kv_heads, dim)
            rows = np.array([row[place] for row in sequence.rows], self.setup.dtype).reshape(shape)
            arrays.append(rows if self.setup.layout == "BSHD" else rows.swapaxes(0, 1))
        return (*arrays, np.array(mask, bool).reshape(len(queries), -1), np.array(positions, int))

    def read(self, layer):
        shown = [self.shown(one, np.array([one.seq_len - 1])) for one in self.layers[layer]]
        return Rows(*map(list, zip(*shown, strict=True)))

    def seq_len(self, layer):
        return [sequence.seq_len for sequence in self.layers[layer]]

    def next_position(self, layer):
        return np.array(self.seq_len(layer))

    def truncate(self, seq_len):
        """All batch rows to one total, or each to its own; every one is checked first."""
        totals = [seq_len] * len(self.layers[0]) if isinstance(seq_len, int) else seq_len
        pairs = [pair for layer in self.layers for pair in zip(layer, totals, strict=True)]
        for sequence, total in pairs:
            resident = {position for position, _, _ in sequence.rows}
            needed = {p for p in range(total) if sequence.sees(total - 1, p)}
            if not 0 <= total <= sequence.seq_len or needed - resident:
                raise IndexError(f"cannot truncate to {total}")
        for sequence, total in pairs:
            sequence.truncate(total)

    def reset(self):
        for layer in self.layers:
            for sequence in layer:
                sequence.truncate(0)

    def copy(self):
        return copy.deepcopy(self)

    def save_and_load(self):
        return pickle.loads(pickle.dumps(self))

    def reorder(self, batch_rows):
        self.layers = [[copy.deepcopy(layer[row]) for row in batch_rows] for layer in self.layers]

    def select(self, batch_rows):
        self.layers = [[layer[row] for row in batch_rows] for layer in self.layers]

    def repeat(self, times):
        self.layers = [
            [copy.deepcopy(sequence) for sequence in layer for _ in range(times)]
            for layer in self.layers
        ]

    def add_batch_rows(self, other):
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine.extend(copy.deepcopy(theirs))
