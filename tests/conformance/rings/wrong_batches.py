"""Wrong: ragged updates, and operations on batch rows."""

from dataclasses import replace

from tests.conformance.rings.planted import planted
from tests.conformance.rings.row_lists import RowLists

CIRCULAR = replace(RowLists.supports, modes=("circular",))


@planted("batch operations", steps=3)
class ReordersInPlace(RowLists):
    """Batch rows are moved one by one, over some that are still to be moved."""

    def reorder(self, batch_rows):
        for layer in self.layers:
            for new, old in enumerate(batch_rows):
                layer[new].rows, layer[new].seq_len = list(layer[old].rows), layer[old].seq_len


@planted("batch operations", steps=4)
class ReordersBackwards(RowLists):
    """Old batch row i goes to ``batch_rows[i]`` instead of coming from there."""

    def reorder(self, batch_rows):
        if len(set(batch_rows)) == len(batch_rows):
            batch_rows = [batch_rows.index(row) for row in range(len(batch_rows))]
        super().reorder(batch_rows)


@planted(
    *("batch operations", "batch row", "order", "twice", "missing", "resurrected", "counters"),
    steps=3,
)
class BeamsShareARow(RowLists):
    """A batch row that is taken twice is one list under two numbers."""

    def reorder(self, batch_rows):
        self.select(batch_rows)


@planted("batch operations", steps=2)
class SelectKeepsTheFirst(RowLists):
    """Of the batch rows that are named only their number counts."""

    def select(self, batch_rows):
        super().select(range(len(batch_rows)))


@planted("batch operations", steps=3)
class SelectDropsTheSelected(RowLists):
    """The batch rows named are dropped, as many others as there are stay."""

    def select(self, batch_rows):
        others = [row for row in range(len(self.layers[0])) if row not in batch_rows]
        super().select((others + list(batch_rows))[: len(batch_rows)])


@planted("batch operations", steps=3)
class RepeatTiles(RowLists):
    """0, 1, 0, 1 instead of 0, 0, 1, 1."""

    def repeat(self, times):
        self.reorder(list(range(len(self.layers[0]))) * times)


@planted("batch operations", "missing", "counters", steps=2)
class AddedRowsTakeTheLength(RowLists):
    """Added batch rows are said to be as long as those that they come to."""

    def add_batch_rows(self, other):
        lens = [layer[0].seq_len for layer in self.layers]
        super().add_batch_rows(other)
        for layer, seq_len in zip(self.layers, lens, strict=True):
            for sequence in layer[-len(other.layers[0]) :]:
                sequence.seq_len = seq_len


@planted("missing", "resurrected", "padding", steps=1)
class LeftPaddingCounted(RowLists):
    """The real tokens are taken from the front, on whichever side the padding is."""

    def real(self, tokens, count, padding):
        return range(count)


@planted("missing", "refused and changed", "padding", steps=4)
class PaddingEvicts(RowLists):
    """Rows give way to all tokens of an update, the padding among them."""

    supports = CIRCULAR

    def update_row(self, sequence, keys, values, real):
        padding = len(keys) - len(real)
        shown = super().update_row(sequence, keys, values, real)
        sequence.keeps -= padding
        sequence.evict()
        sequence.keeps += padding
        return shown


@planted("padding", "counters", "missing", steps=2)
class PaddingMovesPositions(RowLists):
    """Padding on the left gets positions, and is hidden by the mask alone."""

    def update_row(self, sequence, keys, values, real):
        sequence.seq_len += real.start
        return super().update_row(sequence, keys, values, real)


@planted("missing", "padding", steps=2)
class PaddingOfTheFirstBatchRow(RowLists):
    """Which tokens are padding is looked up in batch row 0, for all of them."""

    def update(self, layer, keys, values, token_counts=None, padding="right"):
        seen = super().update(layer, keys, values, token_counts, padding)
        real = seen.mask[0].any(axis=1, keepdims=True)
        seen.mask = [mask & real for mask in seen.mask]
        return seen


@planted("counters", steps=4)
class TruncatesToTheShortest(RowLists):
    """One total for each batch row is asked for; all are truncated to the smallest."""

    def truncate(self, seq_len):
        super().truncate(seq_len if isinstance(seq_len, int) else [min(seq_len)] * len(seq_len))


@planted("counters", steps=2)
class EmptyRowsAreEmptied(RowLists):
    """A batch row without a real token is emptied, in every mode."""

    def update_row(self, sequence, keys, values, real):
        if not real:
            sequence.truncate(0)
        return super().update_row(sequence, keys, values, real)


@planted("refused and changed", steps=3)
class FirstRowsGoAhead(RowLists):
    """Batch rows that have room take their tokens before one is found that has none."""

    supports = replace(RowLists.supports, modes=("append",), most_kv_heads=1)

    def update(self, layer, keys, values, token_counts=None, padding="right"):
        counts = token_counts or [len(self.checked(keys)[0])] * len(keys)
        rooms = [sequence.room() for sequence in self.layers[layer]]
        fits = [count <= room for count, room in zip(counts, rooms, strict=False)]
        if any(fits) and not all(fits):
            self.layers[layer][fits.index(True)].push(self.checked(keys)[0][0], values[0][0])
        return super().update(layer, keys, values, token_counts, padding)
