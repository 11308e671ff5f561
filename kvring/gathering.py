"""Rows of batch rows that go apart, side by side in new arrays: zeros where one has fewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .storage import Pair, Storage, read_only

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .ragged import RaggedPlan

__all__ = ["assembled_apart", "gathered"]


def gathered(storage: Storage, slots: NDArray[np.int64]) -> Pair:
    """K and V of slots ``(batch, rows)`` as one read-only pair of new arrays.

    Slots of -1 come first in their batch row, and are padding: zeros.
    """
    first = (slots < 0).sum(axis=1)
    pair = []
    for stored in (storage._keys, storage._values):
        rows = np.zeros(storage._shape(slots.shape[1], stored.shape[3]), storage.dtype)
        for batch_row, skip in enumerate(first):
            source, target = stored[batch_row], rows[storage._of(batch_row, slice(skip, None))]
            wanted = slots[batch_row, skip:]
            source.take(wanted, axis=storage.token_axis - 1, out=target, mode="clip")
        pair.append(read_only(rows))
    return pair[0], pair[1]


def assembled_apart(
    storage: Storage, plan: RaggedPlan, keys: NDArray[Any], values: NDArray[Any]
) -> Pair:
    """The rows that the plan's queries need, old ones and new, as one read-only pair.

    To be called before the plan is carried out, which overwrites some of them.
    """
    kept = [plan.kept_of(batch_row) for batch_row in range(storage.batch)]
    counts = [
        new + sum(run.rows for run in runs)
        for runs, new in zip(kept, plan.given.of_batch_rows, strict=True)
    ]
    width = max(counts)
    pair = []
    for stored, given in ((storage._keys, keys), (storage._values, values)):
        rows = np.zeros(storage._shape(width, stored.shape[3]), storage.dtype)
        for batch_row, (runs, count) in enumerate(zip(kept, counts, strict=True)):
            start = width - count
            for run in runs:
                place = storage._of(batch_row, slice(start, start + run.rows))
                source = storage._of(batch_row, slice(run.slot, run.slot + run.rows))
                rows[place] = stored[source]
                start += run.rows
            real = storage._of(batch_row, plan.given.real(batch_row))
            rows[storage._of(batch_row, slice(start, None))] = given[real]
        pair.append(read_only(rows))
    return pair[0], pair[1]
