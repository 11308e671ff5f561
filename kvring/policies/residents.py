"""Residents: which position sits in which slot, where slots are not the positions.

The one mutable table of a layer with eviction. It follows the layer's moves: a move is published in
the ledger and carried out by the kernel first, and entered here by whoever works on the layer
next. Every entry is a plain store of what the move says, so entering a move twice, or once more
after an interrupt in the middle, makes no difference.

capacity 4, positions 0 to 3, then position 4 in the place of position 1::

    slot        0 1 2 3        0 1 2 3
    position    0 1 2 3   ->   0 4 2 3
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..memory import reserve
from ..rows import State, states_of
from .plans import NONE, EvictingPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .plans import EvictingMove

__all__ = ["Origin", "Residents", "reserved_table"]


class Origin(NamedTuple):
    """Where a batch row of a new table comes from.

    Parameters
    ----------
    table : Residents
    tracker : Tracker
        What the policy remembers of the rows in the table.
    batch_row : int
        Which line of both.
    from_slots, to_slots : int64 array (rows,)
        Where its rows are, and where they will be.
    """

    table: Residents
    tracker: Any
    batch_row: int
    from_slots: NDArray[np.int64]
    to_slots: NDArray[np.int64]


class Residents:
    """The table of one layer: for each batch row, the position in each slot.

    Parameters
    ----------
    batch : int
    capacity : int, tokens

    Raises
    ------
    ConfigError
        If there cannot be a table of so many slots.

    Notes
    -----
    Slots are used from the first one on, so nothing behind `used_slots` was ever touched: memory
    is committed as tokens arrive.
    """

    def __init__(self, batch: int, capacity: int) -> None:
        self.batch = batch
        self.capacity = capacity
        self._table = reserved_table((batch, capacity), np.int64)
        self.rows = [row.data for row in self._table]  # cheap single entries
        self.used_slots = 0
        # Of each batch row: the epoch and the length for which holes were found, and they, and
        # the slot behind which there was nothing else.
        self._free = [(-1, 0, np.empty(0, np.int64), 0)] * batch

    @property
    def positions(self) -> NDArray[np.int64]:
        """Position in each used slot, int64 ``(batch, slots)``; -1 for none."""
        return self._table[:, : self.used_slots]

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self._table.nbytes

    def enter(self, move: EvictingMove) -> None:
        """Bring the table to the state after `move`, which has been carried out."""
        if move.count == 1 and self.batch == 1 and isinstance(move, EvictingPlan):
            slot = move.slot
            self.rows[0][slot] = move.before.seq_len
            if slot >= self.used_slots:
                self.used_slots = slot + 1
            return
        if move.count:
            used, stop = self.used_slots, int(move.slots.max()) + 1
            self._table[:, used:stop] = NONE  # batch rows need not all have come so far
            move.enter(self._table)
            self.used_slots = max(used, stop)
        elif all(state.seq_len == 0 for state in states_of(move.after)):
            self.used_slots = 0
        else:
            move.enter(self.positions)

    def after(self, move: EvictingMove) -> NDArray[np.int64]:
        """A copy of the table after `move`, whether it has been entered or not."""
        used = self.used_slots
        longest = max(state.length for state in states_of(move.after))
        found = np.full((self.batch, max(used, longest, 1)), NONE, dtype=np.int64)
        found[:, :used] = self._table[:, :used]
        move.enter(found)
        return found

    def free_slots(self, batch_row: int, state: State, count: int) -> NDArray[np.int64]:
        """Slots for `count` more rows of a batch row while some are free, int64 ``(count,)``.

        Lowest ones first: holes that rows have left, then those behind all that was used. Found
        anew after rows were dropped, and counted off from there, by the length alone: nothing is
        marked as taken. Cost: that of the used slots once, then of `count`, in any capacity.
        """
        if state.truncate_floor == 0:  # nothing ever left from the middle
            return np.arange(state.length, state.length + count)
        epoch, length, holes, used = self._free[batch_row]
        if epoch != state.epoch:
            length, used = state.length, self.used_slots
            holes = np.flatnonzero(self.positions[batch_row] == NONE)
            self._free[batch_row] = (state.epoch, length, holes, used)
        taken = state.length - length
        chosen = holes[taken : taken + count]
        behind = used + max(taken - len(holes), 0)
        return np.concatenate([chosen, np.arange(behind, behind + count - len(chosen))])

    def rows_in(self, batch_row: int, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the rows of a batch row that are in these slots, int64 ``(slots,)``."""
        positions: NDArray[np.int64] = self._table[batch_row, slots]
        return positions

    def take_from(self, other: Residents) -> None:
        """Become a copy of another cache's table."""
        self._table[:, : other.used_slots] = other.positions
        self.used_slots = other.used_slots

    def put(
        self, slots: tuple[NDArray[np.int64], ...], positions: tuple[NDArray[np.int64], ...]
    ) -> None:
        """Become the table in which these positions sit in these slots, one array per batch row."""
        self.used_slots = 1 + max((int(of.max()) for of in slots if len(of)), default=-1)
        self.positions[:] = NONE
        for row, of, there in zip(self._table, slots, positions, strict=True):
            row[of] = there

    def take_rows(self, origins: Sequence[Origin]) -> None:
        """Become a table whose batch rows come from those of other tables, one from each origin."""
        used = (int(origin.to_slots.max()) + 1 for origin in origins if len(origin.to_slots))
        self.used_slots = max(used, default=0)
        self.positions[...] = NONE
        for row, origin in zip(self._table, origins, strict=True):
            row[origin.to_slots] = origin.table.positions[origin.batch_row, origin.from_slots]

    def live_slots(self, batch_row: int) -> NDArray[np.int64]:
        """The slots of a batch row that hold rows, int64 ``(rows,)``, ascending."""
        return np.flatnonzero(self.positions[batch_row] != NONE)

    def slots_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slot of each position, in each batch row, int64 ``(batch, positions)``; -1 if not there.

        `positions` are ascending, none twice. Cost: a search among them for every row.
        """
        slots = np.full((self.batch, len(positions)), NONE, dtype=np.int64)
        for batch_row, row in enumerate(self.positions if len(positions) else ()):
            at = np.minimum(np.searchsorted(positions, row), len(positions) - 1)
            found = np.flatnonzero(positions[at] == row)
            slots[batch_row, at[found]] = found
        return slots


def reserved_table(shape: tuple[int, int], dtype: type[np.int64 | np.float64]) -> NDArray[Any]:
    """A table ``(batch, slots)`` of zeros that take no memory before they are written.

    ConfigError if the system cannot reserve that much.
    """
    nbytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if not nbytes:
        return np.empty(shape, dtype=dtype)
    return reserve(nbytes).view(dtype).reshape(shape)
