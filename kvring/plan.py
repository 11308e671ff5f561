"""Move and Plan: what a strategy has decided and a ring carries out.

A move is made once, never changed, and published in one assignment; all layers of a step share it.
"""

from __future__ import annotations

from itertools import count as counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .assembly import pieces_of
from .rows import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import LayerState, Order, Planner, Rows, Run

__all__ = ["Move", "Plan", "plain_move"]

# A ticket names one move and no other in this process, also as a mark in memory. next() on a
# counter is a single C call, so two threads never draw the same one.
_tickets = counter(1)


class Move:
    """What a ring carries out: from `before` to `after`, by writing `count` rows to slots.

    Parameters
    ----------
    before, after : State or RaggedState
        The state the move was made for and the one it leads to.
    count : int, tokens
        New tokens. A move of none stands for a ring at rest.
    slot : int
        Slot of the last new row: all there is to know for one token.
    evicted_count : int, rows
        Rows that leave, with those that the move brings and does not keep.
    slots : int64 array (count,), optional
        Slot of each new row, -1 for one that does not outlive the move.
    """

    __slots__ = ("_slots", "after", "before", "count", "evicted_count", "slot", "ticket")

    def __init__(
        self,
        before: LayerState,
        after: LayerState,
        count: int = 0,
        slot: int = -1,
        evicted_count: int = 0,
        slots: NDArray[np.int64] | None = None,
    ) -> None:
        self.before = before
        self.after = after
        self.count = count
        self.slot = slot
        self.evicted_count = evicted_count
        self.ticket = next(_tickets)
        self._slots = slots

    @classmethod
    def at_rest(cls, state: LayerState) -> Move:
        """A move of no rows: the ring is in `state`, whatever it has carried out."""
        return Move(state, state)

    @property
    def slots(self) -> NDArray[np.int64]:
        """Slot of each new row, int64 ``(count,)``; -1 for a row that does not outlive the move."""
        if self._slots is None:
            self._slots = self._find_slots()
        return self._slots

    @property
    def assembled_count(self) -> int:
        """Rows put together for a view, because the move overwrites some of them."""
        return 0

    def totals(self, batch: int) -> tuple[int, int]:
        """Tokens taken and rows that leave, over all batch rows."""
        return self.count * batch, self.evicted_count * batch

    def _find_slots(self) -> NDArray[np.int64]:
        raise NotImplementedError("a move is given its slots, unless it is a plan")


class Plan(Move):
    """One step of a cache, decided: a move, and the rows that its view shows.

    Made once by a strategy and carried out by every layer whose state is `before`. ``read`` looks
    through a plan of no tokens.

    Parameters
    ----------
    planner : Planner
        The strategy, asked for what most callers never want: rows, masks, many slots.
    before, after, count, slot, evicted_count
        As of a :class:`Move`.
    query_count : int, tokens
        How many of the newest positions the step's view is for.
    assembled : bool
        Whether the step's queries need rows that do not outlive the step.

    Attributes
    ----------
    needs_care : bool
        Whether there is more to do than to have rows put into slots that all batch rows share.

    Notes
    -----
    What a one-token kernel needs is ready; the rest is worked out on first use and then shared by
    all layers.
    """

    __slots__ = (
        "_kept",
        "_physical",
        "_pieces",
        "_temporal",
        "assembled",
        "needs_care",
        "physical_index",
        "planner",
        "query_count",
        "temporal_index",
    )

    before: State
    after: State

    def __init__(
        self,
        planner: Planner,
        before: State,
        after: State,
        count: int,
        query_count: int,
        slot: int = -1,
        evicted_count: int = 0,
        assembled: bool = False,
    ) -> None:
        super().__init__(before, after, count, slot, evicted_count)
        self.planner = planner
        self.query_count = query_count
        self.assembled = assembled
        self.needs_care = assembled
        self._kept: tuple[Run, ...] | None = None
        self._pieces: NDArray[np.int64] | None = None
        self._temporal: Rows | None = None
        self._physical: Rows | None = None
        # What the first view that unpacks leaves for the others: the rows as one array index.
        self.temporal_index: Any = None
        self.physical_index: Any = None

    @property
    def queries(self) -> range:
        """Positions whose queries the step's view is for."""
        return range(self.after.seq_len - self.query_count, self.after.seq_len)

    @property
    def evicted(self) -> range:
        """Positions that leave, with those that the step brings and does not keep."""
        first = self.planner.first(self.after)
        return range(first - self.evicted_count, first)

    @property
    def evicted_positions(self) -> NDArray[np.int64]:
        """The same as an array, int64 ``(evicted,)``, oldest first."""
        evicted = self.evicted
        return np.arange(evicted.start, evicted.stop, dtype=np.int64)

    def evicted_of(self, batch_row: int) -> NDArray[np.int64]:
        """Those of one batch row, int64 ``(evicted,)``, oldest first."""
        return self.evicted_positions

    @property
    def kept(self) -> tuple[Run, ...]:
        """Old rows that an assembled view takes along before they may be overwritten."""
        if self._kept is None:
            self._kept = self.planner.seen_before(self.queries.start)
        return self._kept

    @property
    def assembled_count(self) -> int:
        """Rows of an assembled view; 0 if the view is not assembled."""
        return self.count + sum(run.rows for run in self.kept) if self.assembled else 0

    @property
    def pieces(self) -> NDArray[np.int64]:
        """The slots of a step whose view is assembled, as in `assembly.pieces_of`."""
        if self._pieces is None:
            new = self.planner.survivors(self.after, self.count)
            self._pieces = pieces_of(self.kept, new, self.before.seq_len, self.count)
        return self._pieces

    def rows(self, order: Order) -> Rows:
        """What the step's view shows. Views of no queries or of assembled rows are temporal."""
        if order == "physical" and self.query_count and not self.assembled:
            if self._physical is None:
                self._physical = self.planner.rows(self.after, self.queries, "physical")
            return self._physical
        if self._temporal is None:
            if self.assembled:
                self._temporal = self.planner.assembled_rows(self.after, self.queries)
            else:
                self._temporal = self.planner.rows(self.after, self.queries, "temporal")
        return self._temporal

    def piece(self, order: Order) -> slice | None:
        """The slots that the step's view shows, if they are one piece.

        A decode loop comes here once a step, hence the way round Rows where there is one.
        """
        if self.query_count and not self.assembled:
            piece = self.planner.one_piece(self.after, order)
            if piece is not None:
                return piece
        slices = self.rows(order).slices
        return slices[0] if len(slices) == 1 else None

    def _find_slots(self) -> NDArray[np.int64]:
        runs = self.planner.survivors(self.after, self.count)
        if len(runs) == 1 and runs[0].rows == self.count:
            return np.arange(runs[0].slot, runs[0].slot + self.count, dtype=np.int64)
        slots = np.full(self.count, -1, dtype=np.int64)
        first = self.after.seq_len - self.count
        for position, slot, rows in runs:
            slots[position - first :][:rows] = np.arange(slot, slot + rows)
        return slots


def plain_move(state: State, count: int, capacity: int) -> Move:
    """The next `count` rows of a plain ring: row p goes into slot ``p mod capacity``."""
    seq_len = state.seq_len + count
    length = min(state.length + count, capacity)
    slots = np.arange(state.seq_len, seq_len) % capacity
    slots[: max(count - capacity, 0)] = -1
    return Move(
        state,
        State(seq_len, length, (seq_len - length) % capacity, state.epoch),
        count,
        slot=(seq_len - 1) % capacity,
        evicted_count=state.length + count - length,
        slots=slots,
    )
