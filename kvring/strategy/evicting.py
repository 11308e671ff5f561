"""Append mode with an eviction policy: in a full layer rows give way, and their slots are reused.

The policy chooses for each layer and batch row by itself, before anything is written. capacity 4,
four tokens, then one more for which the policy gives up position 1::

    slot        0 1 2 3        0 1 2 3
    position    0 1 2 3   ->   0 4 2 3        truncate goes back to 5, or to 0

Unlike the other modes, a layer has a table of its own: see :mod:`kvring.policies.residents`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Append
from ..errors import CapacityError, EvictedError, StaleViewError
from ..policies.own import AskedPolicies
from ..policies.plans import EvictingPlan, Pins, RaggedEvictingPlan, Rest, same_or_apart
from ..policies.residents import Residents
from ..policies.trackers import Guard
from ..policies.victims import tracker_for
from ..ragged import TokenCounts
from ..ragged_rows import RaggedRows, aligned
from ..rows import LayerState, Order, RaggedState, Rows, Run, State, per_batch_row
from ..scattered import ScatteredRows, oldest_first
from .inheriting import InheritingStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..plan import Move

__all__ = ["EvictingStrategy"]

Standing = Callable[[], tuple[Any, LayerState]]


class EvictingStrategy(InheritingStrategy):
    """Law 2 of the contract with an eviction policy, for one layer.

    Parameters
    ----------
    mode : Append
    batch : int

    Notes
    -----
    Unlike other strategies it belongs to one layer and is used under that layer's lock, `rows`,
    `one_piece`, `residents_of` and `room` aside, which any thread may call.
    """

    evicts = True

    def __init__(self, mode: Append, batch: int) -> None:
        self.mode = mode
        self.capacity = mode.capacity
        self.sink_tokens = mode.sink_tokens
        self.batch = batch
        self.table = Residents(batch, mode.capacity)
        self.tracker = tracker_for(mode, self.table)
        self.asks_somebody = isinstance(self.tracker, AskedPolicies)
        self._entered: Any = Rest(self.start(), (frozenset(),) * batch)
        self._guards = [Guard(self.sink_tokens, frozenset(), 0)] * batch
        self._standing: Standing = lambda: (self._entered, self._entered.after)

    def follow(self, standing: Standing) -> Rest:
        """Follow the moves of a ring, which begins with the one returned.

        `standing` tells the ring's current move and state.
        """
        self._standing = standing
        return self._entered  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of the layer's table and of what the policy remembers, Python objects aside."""
        return self.table.nbytes + self.tracker.nbytes

    def catch_up(self) -> Any:
        """Enter the last move, if it was carried out and is not entered yet; the last move."""
        move, state = self._standing()
        if move is not self._entered and state is move.after:
            self.tracker.enter(move)
            self.table.enter(move)
            self._entered = move
        return move

    def start(self, epoch: int = 0) -> State:
        return State(seq_len=0, length=0, head=0, epoch=epoch)

    def first(self, state: State) -> int:
        return 0

    def slot(self, position: int) -> int:
        raise NotImplementedError("with eviction, slots are in the table")

    def seen_from(self, position: int) -> int:
        return 0

    def room(self, state: State) -> int:
        raise NotImplementedError("with eviction, room depends on pins")

    def least_room(self, state: LayerState) -> int:
        pins = self._standing()[0].pins
        states = per_batch_row(state, len(pins))
        return min(self._room(*of) for of in zip(states, pins, strict=True))

    def _room(self, state: State, pins: frozenset[int]) -> int:
        return self.capacity - min(self.sink_tokens, state.seq_len) - len(pins)

    def advance(self, state: State, count: int) -> State:
        seq_len = state.seq_len + count
        length = min(state.length + count, self.capacity)
        floor = state.truncate_floor if state.length + count == length else seq_len
        return State(seq_len, length, 0, state.epoch, floor)

    def plan(self, state: State, count: int) -> EvictingPlan:
        pins = self.catch_up().pins
        after = self.advance(state, count)
        evicted = state.length + count - after.length
        slots: Any = None
        leaving: Any = ()
        if evicted == 1 == count == self.batch and self._room(state, pins[0]):
            # A decode loop's case, with no array in it.
            slot: Any = self.tracker.first_victim(self._guard_for(0, state, pins), after.seq_len)
            leaving = self.table.rows[0][slot]
        else:
            for own in pins:  # before a policy is asked for any batch row
                self._check_room(state, count, own)
            found = [self._slots(batch_row, state, count, pins) for batch_row in range(self.batch)]
            slots = np.array(found)
            if evicted:
                leaving = np.take_along_axis(self.table.positions, slots[:, -evicted:], axis=1)
            if self.batch == 1:
                slots = slots[0]
            slot = int(slots[-1]) if self.batch == 1 else slots
        return EvictingPlan(
            self, state, after, count, slot, slots, leaving, evicted, pins, self.tracker.stamp
        )

    def plan_apart(self, state: LayerState, given: TokenCounts) -> RaggedEvictingPlan:
        pins = self.catch_up().pins
        befores, afters, leaving = per_batch_row(state, self.batch), [], []
        slots = np.full((self.batch, given.width), -1, dtype=np.int64)
        self._check_rooms(befores, given, pins)
        for batch_row, (before, count) in enumerate(zip(befores, given.of_batch_rows, strict=True)):
            after = self.advance(before, count) if count else before
            chosen = slots[batch_row, given.real(batch_row)]
            chosen[:] = self._slots(batch_row, before, count, pins)
            free = after.length - before.length
            afters.append(after)
            leaving.append(self.table.rows_in(batch_row, chosen[free:]))
        stamp = self.tracker.stamp
        return RaggedEvictingPlan(self, state, afters, given, slots, leaving, pins, stamp)

    def _check_rooms(self, befores: Sequence[State], given: TokenCounts, pins: Pins) -> None:
        """Of all batch rows, before a policy is asked for any of them."""
        of_each = zip(befores, given.of_batch_rows, pins, strict=True)
        for batch_row, (before, count, own) in enumerate(of_each):
            try:
                self._check_room(before, count, own)
            except CapacityError as error:
                raise CapacityError(f"batch row {batch_row}: {error}") from None

    def _check_room(self, state: State, count: int, pins: frozenset[int]) -> None:
        room = self._room(state, pins)
        if count > room:
            raise CapacityError(
                f"cannot append {count} tokens: {self.capacity - room} of capacity"
                f" {self.capacity} are pinned or sinks, {room} can be had; unpin, bring fewer"
                f" tokens, or use a larger capacity"
            )

    def _slots(self, batch_row: int, state: State, count: int, pins: Pins) -> NDArray[np.int64]:
        """Slots for new rows, int64 ``(count,)``: free ones, then those that rows give up."""
        free = min(count, self.capacity - state.length)
        slots = self.table.free_slots(batch_row, state, free)
        if free == count:
            return slots
        guard, seq_len = self._guard_for(batch_row, state, pins), state.seq_len + count
        chosen = self.tracker.victims(batch_row, guard, count - free, seq_len)
        chosen = chosen[np.argsort(self.table.positions[batch_row, chosen])]
        return np.concatenate([slots, chosen]) if free else chosen

    def _guard_for(self, batch_row: int, state: State, pins: Pins) -> Guard:
        guard = self._guards[batch_row]
        if guard.pins is not pins[batch_row] or guard.epoch != state.epoch:
            guard = Guard(self.sink_tokens, pins[batch_row], state.epoch)
            self._guards[batch_row] = guard
        return guard

    def truncate(self, state: State, seq_len: int, epoch: int) -> State:
        if seq_len == 0:
            return self.start(epoch)
        if seq_len < state.truncate_floor:
            raise EvictedError(
                f"cannot truncate to {seq_len}: rows gave way when there were"
                f" {state.truncate_floor} tokens; truncate to {state.truncate_floor} or more, or"
                f" reset and refill"
            )
        length = state.length - (state.seq_len - seq_len)
        return State(seq_len, length, 0, epoch, state.truncate_floor)

    def rest(self, state: LayerState, shared: dict[LayerState, Move]) -> Move:
        states = per_batch_row(state, self.batch)
        if not any(one.seq_len for one in states):  # whatever the policy says about its past
            return Rest(state, (frozenset(),) * self.batch)
        both = zip(self.catch_up().pins, states, strict=True)
        return Rest(state, tuple(_pinned_before(one.seq_len, pins) for pins, one in both))

    def residents_of(self, state: LayerState) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        table, state = self._seen()
        both = zip(table, per_batch_row(state, len(table)), strict=True)
        slots = [oldest_first(row[None], one.length)[0] for row, one in both]
        positions = [row[of] for row, of in zip(table, slots, strict=True)]
        if isinstance(state, RaggedState):
            return aligned(positions), aligned(slots)
        return same_or_apart(np.array(positions)), same_or_apart(np.array(slots))

    def resident(self, state: State) -> tuple[Run, ...]:
        return (Run(0, 0, state.length),)  # asked only while nothing has left from the middle

    def rows(self, state: State, queries: range, order: Order) -> Rows:
        if not queries or state.truncate_floor == 0:
            return super().rows(state, queries, order)
        return ScatteredRows(self, state, queries, order, self._table_in(state))

    def rows_apart(
        self, state: LayerState, queries: Sequence[range], order: Order
    ) -> Sequence[Rows]:
        states = per_batch_row(state, len(queries))
        scattered = any(one.truncate_floor for one in states)
        table = self._table_in(state) if scattered else np.empty((len(states), 0), np.int64)
        shown: list[Rows] = []
        for one, asked, row in zip(states, queries, table, strict=True):
            if one.truncate_floor and (asked or order == "physical"):
                shown.append(ScatteredRows(self, one, asked, order, row[None]))
            else:
                shown += super().rows_apart(one, [asked], order)
        return shown

    def columns(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
        """Position and slot of each row of a view, int64 ``(batch, rows)``, -1 for none.

        And whether column = slot, and each is a row.
        """
        if isinstance(rows, RaggedRows):
            return rows.positions, rows.column_slots, False
        if isinstance(rows, ScatteredRows):
            return rows.column_positions, rows.column_slots, rows.in_slots
        both = np.broadcast_to(np.arange(rows.count), (self.batch, rows.count))
        return both, both, True  # nothing has left from the middle: slot = position

    def one_piece(self, state: State, order: Order) -> slice | None:
        if state.truncate_floor == 0 or (order == "physical" and state.length == self.capacity):
            return slice(0, state.length)
        return None

    def _table_in(self, state: LayerState) -> NDArray[np.int64]:
        table, current = self._seen()
        if current != state:
            raise StaleViewError("this view is stale: the layer has changed since it was made")
        return table

    def _seen(self) -> tuple[NDArray[np.int64], LayerState]:
        """The table and the state it shows, at one moment, whoever holds the lock.

        Nobody changes the table for a move that is not in the ledger yet, so while the move there
        stays the same, the table is before or after this one move, and entering it once more says
        which.
        """
        while True:
            move, state = self._standing()
            table = self.table.after(move) if state is move.after else self.table.positions.copy()
            if self._standing()[0] is move:
                return table, state


def _pinned_before(seq_len: int, pins: frozenset[int]) -> frozenset[int]:
    """Pins that stay. The same object where all do: guards know theirs by identity."""
    if all(position < seq_len for position in pins):
        return pins
    return frozenset(position for position in pins if position < seq_len)
