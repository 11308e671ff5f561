"""Right: caches whose `update` also takes the total that the sequence shall come to."""

from tests.conformance.rings.concatenating import AppendAll
from tests.conformance.rings.slot_order import SlotRing


class Totals:
    """``seq_len=`` is the total: with new rows alone, with the full history, or with none."""

    def update(self, layer, keys, values, seq_len=None):
        before, given = self.seq_len(layer), self.in_rows(keys).shape[1]
        if seq_len is None or (self.layers[layer].mode == "replace" and seq_len == given):
            return super().update(layer, keys, values)
        if self.layers[layer].mode != "replace":
            if seq_len < before and not given:
                self.truncate(seq_len)
                return self.read(layer)
            if seq_len == before and given in (0, seq_len):
                return self.read(layer)
            if seq_len > before and given in (seq_len, seq_len - before):
                return super().update(layer, *self.new_rows(keys, values, before, seq_len))
        raise ValueError(f"seq_len={seq_len} with {given} rows, after {before} tokens")

    def new_rows(self, keys, values, before, seq_len):
        """The last of what was given; of full history that leaves the new rows."""
        return self.cut(keys, values, before - seq_len, None)

    def cut(self, keys, values, start, stop):
        """These rows of both."""
        return [self.in_layout(self.in_rows(array)[:, start:stop]) for array in (keys, values)]


class TotalRing(Totals, SlotRing):
    """In slot order."""


class TotalAppend(Totals, AppendAll):
    """Concatenates."""
