"""Operations on a cache of tagged rows, and what the reference says that they should give.

A row is a number: its key is the number, its value the number and a half, so that K and V of
different rows, half-written chunks and positions that disagree with rows all show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kvring import Circular, KVCache, KVRingError, KVView, StaleViewError
from kvring.reference import ReferenceCache, ReferenceView
from kvring.reference.forgetting import Forgetting

UNKNOWN = "stale by the time it was looked at"
Result = Any


@dataclass(frozen=True)
class Operation:
    """One call: `verb` with plain numbers, and the numbers of the rows it brings.

    Verbs: update, total, read, reading, positions, truncate, reset, resize, copy, and of eviction
    touch, pin, unpin, evict.
    """

    verb: str
    layer: int = 0
    number: int = 0
    rows: tuple[int, ...] = ()

    def on_cache(self, cache: KVCache) -> Result:
        """Carry it out, and tell what it gave as plain data."""
        try:
            return getattr(self, "_" + self.verb)(cache)
        except StaleViewError:
            return UNKNOWN
        except KVRingError as error:
            return type(error).__name__

    def on_reference(self, cache: ReferenceCache) -> Result:
        """The same on the reference, where nobody else is."""
        try:
            return getattr(self, "_reference_" + self.verb)(cache)
        except KVRingError as error:
            return type(error).__name__

    def _update(self, cache: KVCache) -> Result:
        return content(cache.update(self.layer, *as_arrays(self.rows)).copy())

    def _reference_update(self, cache: ReferenceCache) -> Result:
        return reference_content(cache.update(self.layer, list(self.rows)))

    def _total(self, cache: KVCache) -> Result:
        arrays = as_arrays(self.rows)
        return content(cache.update(self.layer, *arrays, seq_len=self.number).copy())

    def _reference_total(self, cache: ReferenceCache) -> Result:
        return reference_content(cache.update(self.layer, list(self.rows), self.number))

    def _read(self, cache: KVCache) -> Result:
        return content(cache.read(self.layer).copy())

    def _reading(self, cache: KVCache) -> Result:
        with cache.reading(self.layer) as view:
            first = content(view)
            assert content(view) == first, "a reading has changed"
            return first

    def _reference_read(self, cache: ReferenceCache) -> Result:
        return reference_content(cache.read(self.layer))

    _reference_reading = _reference_read

    def _positions(self, cache: KVCache) -> Result:
        return cache.positions(self.layer).tolist()

    def _reference_positions(self, cache: ReferenceCache) -> Result:
        return cache.positions(self.layer)

    def _truncate(self, cache: KVCache) -> Result:
        return cache.truncate(self.number)

    _reference_truncate = _truncate

    def _reset(self, cache: KVCache) -> Result:
        return cache.reset()

    _reference_reset = _reset

    def _resize(self, cache: KVCache | ReferenceCache) -> Result:
        ring = isinstance(cache.config.layers[0].strategy, Circular)
        return cache.resize(**{"rollback_tokens" if ring else "capacity": self.number})

    _reference_resize = _resize

    def _touch(self, cache: KVCache | ReferenceCache) -> Result:
        return cache.touch(self.layer, [self.number])

    def _pin(self, cache: KVCache | ReferenceCache) -> Result:
        return cache.pin([self.number])

    def _unpin(self, cache: KVCache | ReferenceCache) -> Result:
        return cache.unpin([self.number])

    def _evict(self, cache: KVCache | ReferenceCache) -> Result:
        return cache.evict([self.number])

    _reference_touch, _reference_pin, _reference_unpin = _touch, _pin, _unpin
    _reference_evict = _evict

    def _copy(self, cache: KVCache) -> Result:
        copy = cache.copy()
        copy.check()
        return [content(copy.read(layer)) for layer in range(cache.layers)]

    def _reference_copy(self, cache: ReferenceCache) -> Result:
        return [reference_content(cache.read(layer)) for layer in range(len(cache.config.layers))]


def as_arrays(numbers: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """K and V of rows of these numbers."""
    keys = np.array(numbers, np.float32).reshape(1, -1, 1, 1)
    return keys, keys + 0.5


def content(view: KVView) -> list[tuple[int, float, float]]:
    """Position, key and value of each row shown."""
    keys, values = view
    return list(
        zip(view.positions.tolist(), keys.ravel().tolist(), values.ravel().tolist(), strict=True)
    )


def reference_content(view: ReferenceView) -> list[tuple[int, float, float]]:
    """The same of a view of the reference."""
    return [(p, row, row + 0.5) for p, row in zip(view.positions, view.rows, strict=True)]


def state_of(cache: ReferenceCache) -> tuple[Any, ...]:
    """All that the reference will ever do depends on this."""
    modes = tuple(layer.strategy for layer in cache.config.layers)
    return modes, tuple(
        (sequence.seq_len, tuple(sequence.resident), memory_of(sequence.forgetting))
        for layer in cache._sequences
        for sequence in layer
    )


def memory_of(forgetting: Forgetting | None) -> tuple[Any, ...]:
    """What decides who gives way next, and how far back truncate goes."""
    if forgetting is None:
        return ()
    used = tuple(sorted(forgetting._used.items()))
    return (forgetting.least_seq_len, frozenset(forgetting.pinned), used, forgetting._clock)
