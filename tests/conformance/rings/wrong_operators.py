"""Wrong: attention operators whose cache nobody sees."""

from dataclasses import replace

import numpy as np

from tests.conformance.rings.operator import Operator
from tests.conformance.rings.planted import planted
from tests.conformance.rings.wrong_windows import EarlyQueriesRobbed, SeesOneMore

CIRCULAR = replace(Operator.supports, modes=("circular",))


@planted("output", steps=2)
class OperatorSeesOneMore(Operator):
    """The kernel's window is ``<=`` where it should be ``<``."""

    supports = replace(CIRCULAR, truncate="may_refuse")
    ring_class = SeesOneMore


@planted("output", steps=1)
class OperatorRobsEarlyQueries(Operator):
    """The kernel writes the whole chunk into the ring before the first query is answered."""

    supports = CIRCULAR
    ring_class = EarlyQueriesRobbed


@planted("output", steps=1)
class OperatorCountsEmptySlots(Operator):
    """Masked slots get a score of 0 instead of minus infinity, and a share of the softmax."""

    def scores(self, queries, keys):
        return np.maximum(super().scores(queries, keys), -30.0)

    def mask(self, seen, layer):
        empty = seen.positions < 0
        return seen.mask | empty


@planted("output", steps=4)
class OperatorSeesDroppedRows(Operator):
    """A token that was dropped still has a weight until its slot is written again."""

    supports = replace(Operator.supports, modes=("append",))

    def mask(self, seen, layer):
        ring = self.ring.layers[layer]
        return seen.mask | (ring.keys.any(axis=(0, 2, 3)) & (seen.positions < 0))


@planted("output", steps=3)
class OperatorMixesKeysAndValues(Operator):
    """V is shifted by one row against K: the mean of all is right, and every weight is wrong."""

    def scores(self, queries, keys):
        return np.roll(super().scores(queries, keys), 1, axis=-1)


@planted("output", steps=3)
class OperatorForgetsToScale(Operator):
    """Scores are not divided by the square root of head_dim."""

    def scores(self, queries, keys):
        return super().scores(queries, keys) * np.sqrt(queries.shape[-1])


@planted("output", steps=1)
class OperatorUsesTheFirstHead(Operator):
    """All query heads read the rows of KV head 0."""

    def rows_of(self, seen):
        keys, values = super().rows_of(seen)
        return keys, np.repeat(values[:, :, :1], values.shape[2], axis=2)


@planted("output", steps=1)
class OperatorSumsWithoutDividing(Operator):
    """The weights are not divided by their sum."""

    def update(self, layer, queries, keys, values):
        seen = super().update(layer, queries, keys, values)
        seen.outputs = seen.outputs * 2
        return seen
