"""Wrong: models that show their logits and nothing else."""

from dataclasses import replace

import numpy as np

from tests.conformance.rings.model import TinyModel
from tests.conformance.rings.planted import planted
from tests.conformance.rings.slot_order import SlotRing

CIRCULAR = replace(TinyModel.supports, modes=("circular",))
APPEND = replace(TinyModel.supports, modes=("append",))


@planted("logits", steps=3)
class ModelForgetsTruncate(TinyModel):
    """After a truncate positions go on from where they were: off by what was dropped."""

    dropped = 0

    def truncate(self, seq_len):
        before = self.seq_len(0)
        super().truncate(seq_len)
        self.dropped += before - seq_len

    def first_position(self):
        return super().first_position() + self.dropped


@planted("logits", steps=2)
class ModelForgetsTheWindowOfLayer1(TinyModel):
    """Layer 1 sees all that is resident, the rows kept for a rollback as well."""

    supports = CIRCULAR

    def cached(self, layer, keys, values):
        queries = np.arange(self.ring.seq_len(layer), self.ring.seq_len(layer) + keys.shape[1])
        seen = self.ring.update(layer, keys[:, :, None], values[:, :, None])
        mask = seen.mask
        if layer:
            mask = (seen.positions >= 0) & (seen.positions <= queries[:, None])
        return seen.keys[:, :, 0], seen.values[:, :, 0], mask


@planted("logits", steps=3)
class ModelClampsPositions(TinyModel):
    """Positions are clamped to the window, where the cache's length stops growing."""

    supports = CIRCULAR

    def first_position(self):
        return min(super().first_position(), self.ring.layers[0].window)


@planted("logits", "disturbed", steps=2)
class ModelStartsEveryChunkAtZero(TinyModel):
    """Positions of a chunk start at 0, whatever came before."""

    supports = APPEND

    def first_position(self):
        return 0


@planted("logits", "refused", steps=3)
class ModelTruncatesLayer0(TinyModel):
    """Only the cache of the first layer is truncated."""

    supports = APPEND

    def truncate(self, seq_len):
        self.ring.check_total(seq_len)
        self.ring.drop(self.ring.layers[0], seq_len)


class OneTooFew(SlotRing):
    """A mask that hides the oldest of the window."""

    def sees(self, ring, queries, positions):
        return super().sees(ring, queries, positions) & (
            (positions > queries[:, None] - max(ring.window - 1, 1))
            | (positions < ring.sink_tokens)
        )


@planted("logits", steps=2)
class ModelSeesOneFewer(TinyModel):
    """The window is one key short in every layer."""

    supports = CIRCULAR

    def __init__(self, setup):
        super().__init__(setup)
        self.ring.__class__ = OneTooFew
