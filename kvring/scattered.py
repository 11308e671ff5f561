"""Which rows a view shows where slots are not in position order, or batch rows go apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .policies.plans import NONE, same_or_apart
from .rows import Order, Planner, Rows, State
from .spans import Spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ScatteredRows", "oldest_first"]

LATE = np.iinfo(np.int64).max


class ScatteredRows(Rows):
    """Rows of a layer in which rows have given way.

    Parameters
    ----------
    planner, state, queries
        As of :class:`~kvring.rows.Rows`.
    order : {"temporal", "physical"}
    table : int64 array (batch, slots)
        Position in each slot, -1 for none, in `state`. Kept.

    Notes
    -----
    Physical order is one piece, slots 0 to the highest that holds a row in any batch row. Temporal
    order is gathered from `scattered`, unless the slots happen to be one piece in position order.
    """

    def __init__(
        self,
        planner: Planner,
        state: State,
        queries: range,
        order: Order,
        table: NDArray[np.int64],
    ) -> None:
        self.order = order
        shown, slots = table, None
        slices: tuple[slice, ...] = ()
        if order == "physical":
            used = np.flatnonzero((table != NONE).any(axis=0))
            stop = int(used[-1]) + 1 if len(used) else 0
            shown, slices = table[:, :stop], (slice(0, stop),)
            self.column_slots = np.where(shown == NONE, NONE, np.arange(stop))
            self.in_slots = stop == state.length
        else:
            slots = oldest_first(table, state.length)
            self.column_slots = slots
            self.in_slots = False
            shown = np.take_along_axis(table, slots, axis=1)
            start = int(slots[0, 0]) if state.length else 0
            if (slots == np.arange(start, start + state.length)).all():
                slots, slices = None, (slice(start, start + state.length),)
        super().__init__(planner, state, queries, slices, ())
        self.scattered = slots
        self.column_positions = shown

    @property
    def count(self) -> int:
        """Rows shown."""
        return int(self.column_positions.shape[1])

    @property
    def slots(self) -> NDArray[np.int64]:
        """Slot of each row of the one batch row shown, int64 ``(rows,)``; -1 for none."""
        slots: NDArray[np.int64] = self.column_slots[0]
        return slots

    def batch_row(self, batch_row: int) -> Rows:
        slots, positions = self.column_slots[batch_row], self.column_positions[batch_row]
        table = np.full((1, slots.max(initial=NONE) + 1), NONE, dtype=np.int64)
        table[0, slots[slots >= 0]] = positions[slots >= 0]
        return ScatteredRows(self.planner, self.state, self.queries, self.order, table)

    def _find_positions(self) -> NDArray[np.int64]:
        positions = same_or_apart(self.column_positions)
        positions.flags.writeable = False
        return positions

    def _find_mask(self) -> NDArray[np.bool_]:
        query = np.arange(self.queries.start, self.queries.stop, dtype=np.int64)[:, None]
        position = self.positions[..., None, :]
        allowed = (position >= 0) & (position <= query)
        allowed.flags.writeable = False
        return allowed

    def _find_spans(self, alone: bool) -> Spans:
        """Stretches of neighbouring slots; batch rows that hold the same share one array."""
        slots, positions = self.column_slots, self.column_positions
        apart = bool((slots != slots[0]).any() or (positions != positions[0]).any())
        first_query = self.queries.start
        return tuple(
            _stretches(slots[b], positions[b], first_query, alone)
            for b in range(len(slots) if apart else 1)
        )


def oldest_first(table: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The slots of all rows of a table, int64 ``(batch, length)``, oldest first.

    Examples
    --------
    >>> oldest_first(np.array([[5, -1, 3, 4]]), 3)
    array([[2, 3, 0]])
    """
    return np.argsort(np.where(table == NONE, LATE, table), axis=1)[:, :length]


def _stretches(
    slots: NDArray[np.int64], positions: NDArray[np.int64], first_query: int, alone: bool
) -> NDArray[np.int64]:
    """Rows of one batch row as spans for attention: see `Rows.spans`.

    Rows that every query sees need no order: neighbours are one stretch whatever their positions,
    which is then said to begin at position 0. There are no more of them than positions up to the
    first query, so none of its rows seems newer than that. The rest goes position by position.

    Examples
    --------
    Slots 0 to 4 hold positions 0, 7, 2, nothing and 8; the queries are those of 7 and 8:

    >>> slots, positions = np.array([0, 1, 2, -1, 4]), np.array([0, 7, 2, -1, 8])
    >>> _stretches(slots, positions, 7, alone=False).tolist()
    [[0, 0, 3, 0, 0], [4, 8, 1, 4, 0]]
    """
    live = np.flatnonzero(slots >= 0)
    where, position = slots[live], positions[live]
    seen = position <= first_query
    goes_on = (np.diff(live) == 1) & (np.diff(where) == 1)
    goes_on &= np.where(seen[1:], seen[:-1], ~seen[:-1] & (np.diff(position) == 1))
    starts = np.flatnonzero(np.concatenate(([True], ~goes_on))) if len(live) else live
    rows = np.diff(np.append(starts, len(live)))
    first = live[starts] if alone else where[starts]
    from_position = np.where(seen[starts], 0, position[starts])
    zeros = np.zeros(len(starts), np.int64)
    return np.stack([first, from_position, rows, live[starts], zeros], axis=1)
