"""K or V of one layer as pieces of bytes, in the order of the file; to be read or to be filled.

Long runs of slots are pieces as they are: windows on the ring's own memory. Short ones go through
a small buffer, many at a time, because every piece costs a call into the system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from .records import Runs

__all__ = ["pieces"]

# Small enough for a piece to be in the processor's cache when its checksum is taken.
PIECE_BYTES = 1 << 20
# Runs shorter than this are gathered in a buffer.
SHORT_BYTES = 1 << 16
BUFFER_BYTES = 1 << 20


def pieces(
    stored: NDArray[Any], token_axis: int, runs: Sequence[Runs], *, filling: bool
) -> Iterator[memoryview]:
    """The bytes of all rows in `runs`, batch row by batch row.

    Parameters
    ----------
    stored : array (batch, capacity, kv_heads, dim), or heads before slots
        Keys or values of a ring.
    token_axis : int
        Which axis counts slots.
    runs : sequence of Runs
        One for all batch rows alike, or one per batch row.
    filling : bool
        Whether each piece is filled by whoever takes it, before the next one is taken.

    Yields
    ------
    memoryview of bytes
        Good until the next one is taken.
    """
    if not stored.size:
        return
    batch, capacity = stored.shape[0], stored.shape[token_axis]
    planes = 1 if token_axis == 1 else stored.shape[1]
    as_bytes = stored.reshape(-1).view(np.uint8).reshape(batch, planes, capacity, -1)
    if len(runs) == 1:
        yield from _of_planes(as_bytes.reshape(batch * planes, capacity, -1), runs[0], filling)
        return
    for of_batch_row, its_runs in zip(as_bytes, runs, strict=True):
        yield from _of_planes(of_batch_row, its_runs, filling)


def _of_planes(planes: NDArray[np.uint8], runs: Runs, filling: bool) -> Iterator[memoryview]:
    """Pieces of planes ``(planes, capacity, row bytes)`` that have rows in the same slots."""
    rows, row_nbytes = sum(count for _, count in runs), planes.shape[2]
    if rows == planes.shape[1] and len(runs) == 1:  # every slot of every plane
        yield from _cut(planes.reshape(-1))
    elif rows * row_nbytes >= SHORT_BYTES * len(runs):
        for plane in planes:
            for slot, count in runs:
                yield from _cut(plane[slot : slot + count].reshape(-1))
    elif rows:
        slots = np.concatenate([np.arange(slot, slot + count) for slot, count in runs])
        yield from _gathered(planes, slots, filling)


def _cut(flat: NDArray[np.uint8]) -> Iterator[memoryview]:
    whole = flat.data
    for start in range(0, len(whole), PIECE_BYTES):
        yield whole[start : start + PIECE_BYTES]


def _gathered(
    planes: NDArray[np.uint8], slots: NDArray[np.int64], filling: bool
) -> Iterator[memoryview]:
    """Some planes at a time, or some rows of one plane, through a buffer."""
    row_nbytes = planes.shape[2]
    most_rows = max(BUFFER_BYTES // row_nbytes, 1)
    at_once = min(max(most_rows // len(slots), 1), len(planes))
    shape = at_once, min(len(slots), most_rows), row_nbytes
    buffer = np.empty(shape, np.uint8).reshape(-1)
    for first in range(0, len(planes), at_once):
        some = planes[first : first + at_once]
        for start in range(0, len(slots), most_rows):
            which = slots[start : start + most_rows]
            flat = buffer[: len(some) * len(which) * row_nbytes]
            rows = flat.reshape(len(some), len(which), row_nbytes)
            if not filling:
                np.take(some, which, axis=1, out=rows, mode="clip")
            yield flat.data
            if filling:
                some[:, which] = rows
