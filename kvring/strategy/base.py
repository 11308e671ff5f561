"""What the three modes have in common: positions in, slots out, nothing but integers.

A mode says four things: where a position sits (`slot`), what the state is after more tokens
(`advance`), how far back a query sees (`seen_from`), and how many tokens still fit (`room`).
The rest follows and is here, once.

The positions resident in a state are always two stretches: the sinks ``0 .. S - 1`` as far as
they have come, and ``first .. seq_len - 1`` behind them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EvictedError
from ..plan import Move, Plan
from ..ragged import RaggedPlan, TokenCounts
from ..ragged_rows import aligned
from ..rows import LayerState, Order, RaggedState, Rows, Run, State, per_batch_row, states_of
from .apart import plan_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Strategy"]


class Strategy(ABC):
    """Turns logical positions into physical slots; holds no state and no rows.

    Attributes
    ----------
    capacity : int, tokens
        Slots of the layer.
    window : int or None, tokens
        How many most recent positions a query sees, its own included; None for all.
    sink_tokens : int, tokens
        First positions that are never evicted.
    replaces : bool
        Whether an update takes the place of everything before it.
    evicts : bool
        Whether rows are chosen that give way, so that each layer has a strategy of its own.
    asks_somebody : bool
        Whether a policy of somebody's own chooses them.

    Notes
    -----
    Cost: a one-token plan about 2 us, whatever the capacity. Threads: no state, call from any.
    """

    capacity: int
    window: int | None = None
    sink_tokens: int = 0
    replaces: bool = False
    evicts: bool = False
    asks_somebody: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes that it remembers of a layer, besides K and V."""
        return 0

    @abstractmethod
    def slot(self, position: int) -> int:
        """Slot in which `position` sits while it is resident."""

    @abstractmethod
    def advance(self, state: State, count: int) -> State:
        """State after `count` more tokens; raises CapacityError when they do not fit."""

    @abstractmethod
    def seen_from(self, position: int) -> int:
        """First position behind the sinks that a query at `position` may attend to."""

    @abstractmethod
    def room(self, state: State) -> int | None:
        """Most tokens that one update takes now; None = any number."""

    def start(self, epoch: int = 0) -> State:
        """State of an empty layer."""
        return State(seq_len=0, length=0, head=self.sink_tokens, epoch=epoch)

    def first(self, state: State) -> int:
        """Oldest resident position behind the sinks, or the next one to come there."""
        if state.seq_len <= self.sink_tokens:
            return self.sink_tokens
        return state.seq_len - state.length + self.sink_tokens

    def plan(self, state: State, count: int) -> Plan:
        """The step that brings `count` tokens, one or more, to a layer in `state`.

        Raises
        ------
        CapacityError
            If they do not fit. Nothing has been decided then.
        """
        after = self.advance(state, count)
        # One token overwrites only what not even its own query sees.
        assembled = count > 1 and self.seen_from(after.seq_len - count) < self.first(after)
        evicted = 0 if self.replaces else state.length + count - after.length
        return Plan(
            self, state, after, count, count, self.slot(after.seq_len - 1), evicted, assembled
        )

    def look(self, state: State, queries: int) -> Plan:
        """A plan of no tokens: `state` as its newest `queries` tokens see it."""
        return Plan(self, state, state, 0, queries)

    def plan_apart(self, state: LayerState, given: TokenCounts) -> RaggedPlan:
        """The step that brings each batch row its own tokens, some of them at least one.

        Raises
        ------
        CapacityError
            If they do not fit, in any batch row. Nothing has been decided then.
        """
        return plan_apart(self, state, given)

    def survivors(self, after: State, count: int) -> tuple[Run, ...]:
        """Where those of `count` new rows go that are still resident in `after`."""
        stop = after.seq_len
        start = stop - count
        first = max(start, self.first(after))
        sinks_stop = min(stop, self.sink_tokens)
        if start <= first <= sinks_stop:  # none is lost in between
            return self.place(start, stop)
        return self.place(start, sinks_stop) + self.place(first, stop)

    def seen_before(self, position: int) -> tuple[Run, ...]:
        """The rows before `position` that its query needs."""
        return self._needed(position, position)

    def truncate(self, state: State, seq_len: int, epoch: int) -> State:
        """State after all but the first `seq_len` tokens are dropped.

        Raises
        ------
        EvictedError
            If the newest token that stays would miss a position of its window.
        """
        if seq_len == 0:
            return self.start(epoch)
        first = self.first(state)
        missing = self.seen_from(seq_len - 1)
        if seq_len > self.sink_tokens and missing < first:
            raise EvictedError(self._refusal(state, seq_len, missing))
        behind_sinks = max(seq_len - first, 0)
        head = self.slot(first) if behind_sinks else self.sink_tokens
        length = min(seq_len, self.sink_tokens) + behind_sinks
        return State(seq_len=seq_len, length=length, head=head, epoch=epoch)

    def place(self, start: int, stop: int) -> tuple[Run, ...]:
        """Where positions ``start .. stop - 1`` sit: a new run wherever the slots wrap."""
        runs = []
        while start < stop:
            slot = self.slot(start)
            rows = min(stop - start, self.capacity - slot)
            runs.append(Run(start, slot, rows))
            start += rows
        return tuple(runs)

    def resident(self, state: State) -> tuple[Run, ...]:
        """All resident rows, oldest first."""
        return self._spread(state.seq_len, self.first(state))

    def residents_of(self, state: LayerState) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions and slots of all resident rows, int64 ``(rows,)``, oldest first.

        ``(batch, rows)`` where batch rows differ: newest last, -1 for none.
        """
        runs = [self.resident(one) for one in states_of(state)]
        positions = [_flat((run.position, run.rows) for run in of_row) for of_row in runs]
        slots = [_flat((run.slot, run.rows) for run in of_row) for of_row in runs]
        if isinstance(state, RaggedState):
            return aligned(positions), aligned(slots)
        return positions[0], slots[0]

    def least_room(self, state: LayerState) -> int | None:
        """Most tokens that one update of all batch rows takes now; None = any number."""
        rooms = [self.room(one) for one in states_of(state)]
        return min((room for room in rooms if room is not None), default=None)

    def stored(self, state: LayerState) -> list[tuple[Run, ...]]:
        """Slots that a copy takes along, of all batch rows alike or of each; no positions."""
        return [self.resident(one) for one in states_of(state)]

    def rest(self, state: LayerState, shared: dict[LayerState, Move]) -> Move:
        """The move of a layer that is to be at rest in `state`, shared with others like it."""
        return shared.setdefault(state, Move.at_rest(state))

    def rest_as_in(
        self, other: Strategy, state: LayerState, shared: dict[LayerState, Move]
    ) -> Move:
        """The same for a copy of a layer that `other` plans for."""
        return self.rest(state, shared)

    def held(self, batch_row: int, state: State) -> tuple[Run, ...]:
        """Slots of a batch row in `state` that hold something; their positions do not matter."""
        return self.resident(state)

    def rest_from(
        self,
        origins: Sequence[tuple[Strategy, int]],
        state: LayerState,
        shared: dict[LayerState, Move],
    ) -> tuple[Move, list[Callable[[], object]]]:
        """The move at rest of a layer whose batch rows come from others, and what goes with it.

        `origins` say for each batch row which strategy it comes from, and which one it was there.
        What goes with the move are calls into C code that make the strategy's own memory that of
        the new batch rows, each at once; nothing has changed before.
        """
        return self.rest(state, shared), []

    def adopted(self, state: State, epoch: int) -> State:
        """What `state` of a layer of the same mode becomes in this one's slots: see `resize`."""
        return state._replace(epoch=epoch)

    def rows(self, state: State, queries: range, order: Order) -> Rows:
        """The resident rows that `queries` need; physical order shows every slot up to the last."""
        if not queries:
            return Rows(self, state, queries, (slice(0, 0),), ())
        piece = self.one_piece(state, order)
        if piece is not None:
            return Rows(self, state, queries, (piece,))
        runs = self._needed(queries.start, state.seq_len)
        return Rows(self, state, queries, _merged(runs), runs)

    def rows_apart(
        self, state: LayerState, queries: Sequence[range], order: Order
    ) -> Sequence[Rows]:
        """What `queries` of each batch row need; every slot in use in physical order."""
        states = per_batch_row(state, len(queries))
        if order == "temporal":
            return [self.rows(*of, order) for of in zip(states, queries, strict=True)]
        pieces = [slice(0, self._last_slot(one) + 1) for one in states]
        both = zip(states, queries, pieces, strict=True)
        return [Rows(self, one, asked, (piece,)) for one, asked, piece in both]

    def one_piece(self, state: State, order: Order) -> slice | None:
        """All slots in use, where that is what is shown; without a window slot order is age."""
        if order == "physical" or self.window is None:
            return slice(0, self._last_slot(state) + 1)
        return None

    def assembled_rows(self, state: State, queries: range) -> Rows:
        """The rows that `queries` need when not all of them are in slots; oldest first."""
        start, stop = queries.start, queries.stop
        runs = (*self.seen_before(start), Run(start, -1, stop - start))
        return Rows(self, state, queries, (), runs)

    def _last_slot(self, state: State) -> int:
        """The highest slot that holds a resident row; -1 if there is none."""
        if state.length in (state.seq_len, self.capacity):  # never wrapped, or full
            return state.length - 1
        return max(run.slot + run.rows for run in self.resident(state)) - 1

    def _needed(self, query: int, stop: int) -> tuple[Run, ...]:
        """What queries from `query` on see of the positions before `stop`."""
        return self._spread(stop, self.seen_from(query))

    def _spread(self, stop: int, first: int) -> tuple[Run, ...]:
        """The sinks and the positions ``first .. stop - 1``, as runs."""
        sink_rows = min(stop, self.sink_tokens)
        if first <= sink_rows:
            return self.place(0, stop)
        return self.place(0, sink_rows) + self.place(first, stop)

    def _refusal(self, state: State, seq_len: int, missing: int) -> str:
        """Why a truncate is refused; only a mode that evicts has a reason."""
        raise NotImplementedError


def _flat(spans: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    pieces = [np.arange(start, start + count, dtype=np.int64) for start, count in spans]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)


def _merged(runs: tuple[Run, ...]) -> tuple[slice, ...]:
    """The runs' slots, neighbours joined: a ring that has not wrapped is one piece."""
    slices = [slice(0, 0)]
    for run in runs:
        if slices[-1].stop == run.slot:
            slices[-1] = slice(slices[-1].start, run.slot + run.rows)
        else:
            slices.append(slice(run.slot, run.slot + run.rows))
    return tuple(piece for piece in slices if piece.stop > piece.start) or (slice(0, 0),)
