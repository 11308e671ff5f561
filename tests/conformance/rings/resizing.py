"""Right: the lists of `row_lists`, whose numbers of slots may change while rows are there."""

from dataclasses import replace

from tests.conformance.rings.row_lists import RowLists


class Resizing(RowLists):
    """Other capacities, windows and rollback for what is there already."""

    supports = replace(RowLists.supports, mixed_layers=True)

    def resize(self, capacity=None, window=None, rollback_tokens=None):
        sequences = [sequence for layer in self.layers for sequence in layer]
        rings = [sequence for sequence in sequences if sequence.window]
        others = [sequence for sequence in sequences if not sequence.window]
        if (capacity and not others) or (not capacity and not rings):
            raise ValueError("no layer has such a number")
        self.check(rings, others, capacity or 0, window or 0)
        for sequence in others if capacity else []:
            sequence.capacity = capacity
        for sequence in rings:
            rollback = sequence.keeps - sequence.window
            if rollback_tokens is not None:
                rollback = rollback_tokens
            sequence.window = window or sequence.window
            sequence.keeps = sequence.window + rollback
            sequence.evict()

    def check(self, rings, others, capacity, window):
        for sequence in others:
            if capacity and len(sequence.rows) > capacity:
                raise OverflowError(f"{len(sequence.rows)} rows, and room for {capacity}")
        for sequence in rings:
            if window > sequence.window and len(sequence.rows) < sequence.seq_len:
                raise IndexError("rows are gone that the larger window would show")
