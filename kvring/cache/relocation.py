"""Whole batch rows on the move: in place, or into new memory; and many changes as one.

What moves is slots, never single rows: a slot keeps its number, or a run of slots gets another one.
Bytes travel as words of their width, so that no dtype has a say in it. Nothing is moved here: what
is to be done is made ready, as a list of calls, for `at_once`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from operator import methodcaller, setitem
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import kernels
from ..storage import Storage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..rows import Run

__all__ = ["Change", "Relocated", "Stretch", "at_once", "becoming", "in_order", "moved_in_place"]

Change = Callable[[], object]

SPARE = -1  # in place of a batch row: the buffer beside the storage
# So much of every batch row moves before the next piece: it stays in the processor's cache while
# it is copied to several places or waits for its own to come free.
PIECE_BYTES = 1 << 20

_call = methodcaller("__call__")


class Stretch(NamedTuple):
    """Slots of a batch row on their way into new memory: `rows` of them, side by side."""

    source: Storage
    from_batch_row: int
    from_slot: int
    to_batch_row: int
    to_slot: int
    rows: int


class Relocated(NamedTuple):
    """K and V of a layer in new memory."""

    keys: NDArray[Any]
    values: NDArray[Any]


def at_once(changes: Iterable[Change]) -> None:
    """Make changes of which no interrupt and no other thread sees only some.

    Each is a call into C code and so is what runs through them: Python looks for signals when it is
    over. What takes long may let other threads run; they see what came before it, so whatever
    publishes comes last, as calls that change one dict, list or array entry each.
    """
    deque(map(_call, changes), maxlen=0)


def in_order(batch_rows: Sequence[int]) -> list[tuple[int, int, int]]:
    """Copies after which batch row i is what ``batch_rows[i]`` was, none of which comes too late.

    Each is (to, from, whose rows these were); a circle begins and ends with the spare buffer.

    Examples
    --------
    >>> in_order([1, 1, 0, 3])
    [(2, 0, 0), (0, 1, 1)]
    >>> in_order([1, 0])
    [(-1, 0, 0), (0, 1, 1), (1, -1, 0)]
    """
    source_of = {to: origin for to, origin in enumerate(batch_rows) if to != origin}
    needed = Counter(source_of.values())
    free = [to for to in source_of if not needed[to]]
    ordered = []
    while source_of:
        if not free:  # circles are left, and nothing else reads what is in them
            opened = next(iter(source_of))
            ordered.append((SPARE, opened, opened))
            closing = next(to for to, origin in source_of.items() if origin == opened)
            source_of[closing] = SPARE
            free.append(opened)
        to = free.pop()
        origin = source_of.pop(to)
        ordered.append((to, origin, opened if origin == SPARE else origin))
        needed[origin] -= 1
        if origin in source_of and not needed[origin]:
            free.append(origin)
    return ordered


def moved_in_place(
    storage: Storage, batch_rows: Sequence[int], stored: Sequence[tuple[Run, ...]]
) -> list[Change]:
    """The copies of `in_order`, of the slots that hold something; `stored` says of each batch row.

    Cost: as `np.copyto` of these slots, and of a batch row more for each circle.
    """
    copies = in_order(batch_rows)
    pieces = [
        (start, stop, [copy for copy in copies if used[copy[2]]])
        for start, stop, used in _pieces(storage, copies, stored)
    ]
    longest = max((stop - start for start, stop, _ in pieces), default=0)
    circles = any(to == SPARE for to, _, _ in copies)
    changes: list[Change] = []
    for stored_words in (words(storage._keys), words(storage._values)):
        shape = list(stored_words.shape[1:])
        shape[storage.token_axis - 1] = longest if circles else 0
        planes = [*stored_words, np.empty(shape, stored_words.dtype)]  # the spare one is the last
        for start, stop, here in pieces:
            slots, spare = (
                storage.index_in_batch_row(r) for r in (slice(start, stop), slice(0, stop - start))
            )
            for to, origin, _ in here:
                target = planes[to][spare if to == SPARE else slots]
                source = planes[origin][spare if origin == SPARE else slots]
                changes.append(partial(setitem, target, Ellipsis, source))
    return changes


def _pieces(
    storage: Storage, copies: list[tuple[int, int, int]], stored: Sequence[tuple[Run, ...]]
) -> Iterable[tuple[int, int, dict[int, bool]]]:
    """Slots start .. stop - 1, and which of the moving batch rows hold something there."""
    moving = Counter(origin for _, origin, _ in copies)
    if not copies:
        return
    held = {b: [(run.slot, run.slot + run.rows) for run in stored[b]] for _, _, b in copies}
    cuts = sorted({end for spans in held.values() for span in spans for end in span})
    together = any(n > 1 for n in moving.values()) or SPARE in moving
    step = (
        max(PIECE_BYTES * storage.batch // storage.row_nbytes, 1) if together else storage.capacity
    )
    for first, last in pairwise(cuts):
        used = {b: any(a <= first < z for a, z in spans) for b, spans in held.items()}
        if any(used.values()):
            for start in range(first, last, step):
                yield start, min(start + step, last), used


def relocated(
    storage: Storage, batch: int, capacity: int, stretches: Iterable[Stretch]
) -> Relocated:
    """New memory for so many batch rows and slots, with what is to be in it already.

    Raises
    ------
    ConfigError
        If the memory cannot be reserved.
    """
    new = Relocated(*storage.reserved(batch, capacity))
    for source, from_batch_row, from_slot, to_batch_row, to_slot, rows in stretches:
        slots = source.index_in_batch_row(slice(from_slot, from_slot + rows))
        places = storage.index_in_batch_row(slice(to_slot, to_slot + rows))
        for target, given in zip(new, (source._keys, source._values), strict=True):
            words(target[to_batch_row])[places] = words(given[from_batch_row])[slots]
    return new


def becoming(storage: Storage, new: Relocated, batch: int, capacity: int) -> list[Change]:
    """What makes new memory that of a layer. The block stays the one that updates know."""
    block = kernels.new_block(*new, storage.token_axis)
    if storage._block[kernels.ADMITTED] < storage.capacity:
        block[kernels.ADMITTED] = 0  # in a pool, which admits slots of the new memory
    described = slice(kernels.TOKEN_AXIS, None)
    attributes = storage.attributes_for(new.keys, new.values, batch, capacity)
    return [
        partial(setitem, storage._block, described, block[described]),
        partial(dict.update, storage.__dict__, attributes),
    ]


def words(array: NDArray[Any]) -> NDArray[Any]:
    """The same bytes as unsigned integers, which NumPy copies without a look at them."""
    return array.view(f"u{array.dtype.itemsize}")
