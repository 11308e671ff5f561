"""What happens to a layer with eviction, as moves that can be entered into its table.

Entering stores what a move says and reads nothing that it has changed, so doing it twice, or once
more after an interrupt, makes no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..plan import Move, Plan
from ..ragged import RaggedPlan, RaggedPlanner, TokenCounts
from ..rows import LayerState, states_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..rows import Planner, State

__all__ = [
    "NONE",
    "EvictingMove",
    "EvictingPlan",
    "Pins",
    "RaggedEvictingPlan",
    "Rest",
    "same_or_apart",
]

NONE = -1  # the position of a slot that holds no row
# Which positions are pinned, sinks aside, in each batch row.
Pins: TypeAlias = "tuple[frozenset[int], ...]"


class Rest(Move):
    """A layer at rest: rows may have been dropped to get there, none is written.

    Parameters
    ----------
    state : State or RaggedState
        Where the layer stands.
    pins : tuple of frozenset of int
        Positions that are pinned, sinks aside, in each batch row.
    dropped : int64 array, optional
        Positions that were evicted by hand; all from ``state.seq_len`` on are dropped anyway.
    """

    __slots__ = ("dropped", "pins")

    def __init__(
        self, state: LayerState, pins: Pins, dropped: NDArray[np.int64] | None = None
    ) -> None:
        super().__init__(state, state)
        self.pins = pins
        self.dropped = dropped

    def enter(self, positions: NDArray[np.int64]) -> None:
        """Drop the rows from a table ``(batch, slots)``."""
        positions[self.leaving(positions)] = NONE

    def leaving(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows of a table are dropped."""
        leaving = positions >= np.array([[state.seq_len] for state in states_of(self.after)])
        if self.dropped is not None:
            leaving |= np.isin(positions, self.dropped)
        return leaving


class EvictingPlan(Plan):
    """One step of a layer with eviction: which row goes where, and who gives way for it.

    Parameters
    ----------
    planner, before, after, count
        As of a :class:`~kvring.plan.Plan`.
    slot : int, or int64 array (batch, count)
        Slot of the last new row; where batch rows go apart, all slots.
    slots : int64 array (count,) or (batch, count), optional
        Slot of each new row; not for one token and one batch row.
    leaving : int, or int64 array (batch, evicted), positions
        Whose slots they were; an int for one row of one batch row.
    evicted_count : int, rows
        How many these are in each batch row.
    pins : tuple of frozenset of int
        Positions that are pinned in each batch row, before and after.
    stamp : int
        When the rows were written, on the clock of the layer's policy.
    """

    __slots__ = ("leaving", "pins", "stamp")

    def __init__(
        self,
        planner: Planner,
        before: State,
        after: State,
        count: int,
        slot: Any,
        slots: NDArray[np.int64] | None,
        leaving: Any,
        evicted_count: int,
        pins: Pins,
        stamp: int,
    ) -> None:
        super().__init__(planner, before, after, count, count, slot, evicted_count)
        self._slots = slots
        self.leaving = leaving
        self.pins = pins
        self.stamp = stamp

    @property
    def evicted_positions(self) -> NDArray[np.int64]:
        """Positions that leave, int64 ``(evicted,)``, or ``(batch, evicted)`` where they differ."""
        if not self.evicted_count:
            return np.empty(0, dtype=np.int64)
        leaving = np.asarray(self.leaving, dtype=np.int64).reshape(-1, self.evicted_count)
        return same_or_apart(np.sort(leaving, axis=1))

    def new_rows(self, batch_row: int) -> range:
        """Positions that come to a batch row."""
        return range(self.before.seq_len, self.after.seq_len)

    def leaving_of(self, batch_row: int) -> list[int]:
        """Positions that leave it, oldest first."""
        if not self.evicted_count:
            return []
        leaving = np.asarray(self.leaving, dtype=np.int64).reshape(-1, self.evicted_count)
        return sorted(leaving[batch_row].tolist())

    @property
    def cells(self) -> tuple[Any, NDArray[np.int64]]:
        """Batch rows and slots of the new rows, as an index."""
        slots = self.slots
        return (0 if slots.ndim == 1 else np.arange(len(slots))[:, None]), slots

    def evicted_of(self, batch_row: int) -> NDArray[np.int64]:
        return np.array(self.leaving_of(batch_row), dtype=np.int64)

    def enter(self, positions: NDArray[np.int64]) -> None:
        """Store the new rows in a table ``(batch, slots)``."""
        first = self.before.seq_len
        new = np.arange(first, first + self.count)
        if self.slots.ndim == 1:
            positions[0, self.slots] = new
        else:
            np.put_along_axis(positions, self.slots, new[None], axis=1)

    def _find_slots(self) -> NDArray[np.int64]:
        return np.array([self.slot], dtype=np.int64)


class RaggedEvictingPlan(RaggedPlan):
    """The same where batch rows go apart.

    Parameters
    ----------
    planner, before, afters, given, slots
        As of a :class:`~kvring.ragged.RaggedPlan`.
    leaving : sequence of int64 array, positions
        Who gives way in each batch row, oldest first.
    pins, stamp
        As of an :class:`EvictingPlan`.
    """

    __slots__ = ("leaving", "pins", "stamp")

    def __init__(
        self,
        planner: RaggedPlanner,
        before: LayerState,
        afters: Sequence[State],
        given: TokenCounts,
        slots: NDArray[np.int64],
        leaving: Sequence[NDArray[np.int64]],
        pins: Pins,
        stamp: int,
    ) -> None:
        super().__init__(planner, before, afters, given, slots, [len(of) for of in leaving])
        self.leaving = leaving
        self.pins = pins
        self.stamp = stamp

    def evicted_of(self, batch_row: int) -> NDArray[np.int64]:
        return self.leaving[batch_row]

    def new_rows(self, batch_row: int) -> range:
        """Positions that come to a batch row."""
        return self.queries_of(batch_row)

    def leaving_of(self, batch_row: int) -> list[int]:
        """Positions that leave it, oldest first."""
        leaving: list[int] = self.leaving[batch_row].tolist()
        return leaving

    @property
    def cells(self) -> tuple[Any, NDArray[np.int64]]:
        """Batch rows and slots of the new rows, as an index."""
        batch_rows, tokens = np.nonzero(self.slots >= 0)
        return batch_rows, self.slots[batch_rows, tokens]

    @property
    def positions(self) -> NDArray[np.int64]:
        """Positions of the new rows, in the order of `cells`."""
        both = zip(self.afters, self.given.of_batch_rows, strict=True)
        return np.concatenate([np.arange(of.seq_len - n, of.seq_len) for of, n in both])

    def enter(self, positions: NDArray[np.int64]) -> None:
        """Store the new rows in a table ``(batch, slots)``."""
        positions[self.cells] = self.positions


EvictingMove: TypeAlias = "Rest | EvictingPlan | RaggedEvictingPlan"


def same_or_apart(per_batch_row: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(n,)`` for all batch rows if they are alike, and ``(batch, n)`` as it is otherwise."""
    first: NDArray[np.int64] = per_batch_row[0]
    if len(per_batch_row) == 1 or bool((per_batch_row == first).all()):
        return first
    return per_batch_row
