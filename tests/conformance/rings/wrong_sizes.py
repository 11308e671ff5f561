"""Wrong: other numbers of slots."""

from dataclasses import replace

from tests.conformance.rings.planted import planted
from tests.conformance.rings.resizing import Resizing

RINGS_ALONE = replace(Resizing.supports, modes=("circular",), most_layers=1, most_batch=1)


@planted("resize", "counters", "missing", "refused", steps=2)
class ResizeStartsAnew(Resizing):
    """A resize makes new layers, and forgets what was in the old ones."""

    def resize(self, **numbers):
        super().resize(**numbers)
        self.reset()


@planted("accepted", steps=2)
class ShrinksBelowContent(Resizing):
    """A capacity that is less than what is held is taken, and the oldest rows are cut off."""

    def check(self, rings, others, capacity, window):
        for sequence in others:
            if capacity:
                sequence.rows = sequence.rows[-capacity:]
        super().check(rings, others, 0, window)


@planted("accepted", steps=3)
class WindowGrowsOverGaps(Resizing):
    """A larger window is taken although it would show rows that are gone."""

    def check(self, rings, others, capacity, window):
        super().check(rings, others, capacity, 0)


@planted("missing", "refused", steps=5)
class KeepsWhatItKept(Resizing):
    """The ring goes on evicting by its old number of slots."""

    supports = RINGS_ALONE

    def resize(self, **numbers):
        sequences = [sequence for layer in self.layers for sequence in layer]
        before = [sequence.keeps for sequence in sequences]
        super().resize(**numbers)
        for sequence, keeps in zip(sequences, before, strict=True):
            sequence.keeps = keeps


@planted("missing", "resize", "accepted", "refused", "refused and changed", steps=6)
class ResizesOneBatchRow(Resizing):
    """Only the first batch row of a ring hears of the new numbers."""

    def resize(self, **numbers):
        layers, self.layers = self.layers, [layer[:1] for layer in self.layers]
        try:
            super().resize(**numbers)
        finally:
            self.layers = layers
