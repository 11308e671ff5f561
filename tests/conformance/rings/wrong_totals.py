"""Wrong: what the total, the chunk and the full history are taken for."""

from dataclasses import replace

from tests.conformance.rings.planted import planted
from tests.conformance.rings.totals import TotalAppend, TotalRing


@planted(
    *("missing", "counters", "refused and changed"),
    steps=2,
    known="a chunk's length taken for the total",
)
class ChunkForTotal(TotalAppend):
    """The number of new tokens is passed on as the total, and every decode step truncates to 1."""

    def update(self, layer, keys, values, seq_len=None):
        chunk = self.in_rows(keys).shape[1]
        if seq_len is None and chunk <= self.seq_len(layer):
            self.drop(self.layers[layer], chunk - 1)
            keys, values = self.cut(keys, values, -1, None)
        return super().update(layer, keys, values, seq_len)


@planted("twice", "counters", "shape", steps=2, known="full history and new rows confused")
class FullHistoryAppended(TotalAppend):
    """Rows given with a total are always appended, the history that is there already as well."""

    def new_rows(self, keys, values, before, seq_len):
        return keys, values


@planted("missing", "counters", "shape", steps=2)
class NewRowsTakenForHistory(TotalAppend):
    """What is given with a total is always taken for the full history, and cut as if it were."""

    def new_rows(self, keys, values, before, seq_len):
        return self.cut(keys, values, before, None)


@planted("accepted", steps=3)
class DropsOneLayerByTotal(TotalRing):
    """A total below what is there truncates this layer alone, whatever the total is."""

    supports = replace(TotalRing.supports, modes=("append", "circular"), mixed_layers=False)

    def update(self, layer, keys, values, seq_len=None):
        if seq_len is not None and seq_len < self.seq_len(layer):
            self.drop(self.layers[layer], max(seq_len, 0))
            return self.read(layer)
        return super().update(layer, keys, values, seq_len)


@planted("counters", "twice", "resurrected", "shape", steps=2)
class SameTotalAppends(TotalAppend):
    """A call that says the same total once more stores its rows once more."""

    def update(self, layer, keys, values, seq_len=None):
        if seq_len is not None and seq_len == self.seq_len(layer):
            seq_len = None
        return super().update(layer, keys, values, seq_len)
