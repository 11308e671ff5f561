"""The plain records in which strategies speak of rows: State, RaggedState, Run, Rows.

None of them changes once made, so all layers of a step can share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from .spans import Asked, Spans, spans_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "ORDERS",
    "PHYSICAL",
    "TEMPORAL",
    "LayerState",
    "Order",
    "Planner",
    "RaggedState",
    "Rows",
    "Run",
    "State",
    "joined_state",
    "per_batch_row",
    "states_of",
]

Order: TypeAlias = Literal["temporal", "physical"]
# Views hold these two objects, so that identity tells them apart. Equal literals in a caller's code
# are the same objects already; an equal string made at run time is looked up.
TEMPORAL: Order = "temporal"
PHYSICAL: Order = "physical"
ORDERS: dict[str, Order] = {TEMPORAL: TEMPORAL, PHYSICAL: PHYSICAL}


class State(NamedTuple):
    """All that a layer knows of itself besides its bytes, where its batch rows are alike.

    Parameters
    ----------
    seq_len : int, tokens
        Tokens the sequence has seen = the position the next one gets.
    length : int, tokens
        Rows resident.
    head : int, slot
        Slot of the oldest row of the ring; the first slot behind the sinks when there is none.
    epoch : int
        How often tokens were taken back. Without it a layer that was truncated and filled again
        would equal its own past, and a view made then would come back to life.
    truncate_floor : int, tokens
        The seq_len after the last evicting update (append mode with eviction): truncate goes back
        as far as that, or to 0.
    """

    seq_len: int
    length: int
    head: int
    epoch: int
    truncate_floor: int = 0


class RaggedState(NamedTuple):
    """The same where batch rows differ: a state for each, as if it were a layer of its own.

    Made by `joined_state` alone, so it never stands for batch rows that are alike. All states have
    the same epoch: what takes tokens back does so to a layer.
    """

    batch_rows: tuple[State, ...]

    @property
    def epoch(self) -> int:
        """How often tokens were taken back."""
        return self.batch_rows[0].epoch


LayerState: TypeAlias = "State | RaggedState"


def per_batch_row(state: LayerState, batch: int) -> tuple[State, ...]:
    """The state of each of `batch` batch rows."""
    return state.batch_rows if isinstance(state, RaggedState) else (state,) * batch


def states_of(state: LayerState) -> tuple[State, ...]:
    """One state for all batch rows that are alike, or one for each."""
    return state.batch_rows if isinstance(state, RaggedState) else (state,)


def joined_state(states: Sequence[State]) -> LayerState:
    """The state of a layer with these batch rows: a plain one if they are alike.

    Examples
    --------
    >>> short, long = State(2, 2, 0, epoch=0), State(3, 3, 0, epoch=0)
    >>> joined_state([short, short]) == short, joined_state([short, long]).batch_rows[1].seq_len
    (True, 3)
    """
    first = states[0]
    if all(state == first for state in states):
        return first
    return RaggedState(tuple(states))


class Run(NamedTuple):
    """`rows` rows with consecutive positions in consecutive slots."""

    position: int
    slot: int
    rows: int


class Rows:
    """Which rows a view shows, in which order, and what its queries may attend to among them.

    Parameters
    ----------
    planner : Planner
        The strategy, asked where the resident rows are.
    state : State
        The state that is shown.
    queries : range
        Positions of the queries.
    slices : tuple of slice
        The slots shown, piece by piece; none when the rows were assembled.
    runs : tuple of Run, optional
        The resident rows among them, in the order of the pieces; all of the layer if not given.

    Notes
    -----
    Shared by all layers of a step, so the mask of a prompt is computed once for all of them, and
    a decode loop that looks at keys and values alone never computes positions.
    """

    def __init__(
        self,
        planner: Planner,
        state: State,
        queries: range,
        slices: tuple[slice, ...],
        runs: tuple[Run, ...] | None = None,
    ) -> None:
        self.planner = planner
        self.state = state
        self.queries = queries
        self.slices = slices
        self._runs = runs
        # Not functools.cached_property: before Python 3.12 its lock is one for all instances.
        self._positions: NDArray[np.int64] | None = None
        self._mask: NDArray[np.bool_] | None = None
        self._spans: list[Spans | None] = [None, None]  # in slots, alone
        # Slots (batch, rows) to gather from, -1 for padding, where the rows lie in no pieces.
        self.scattered: NDArray[np.int64] | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """The resident rows among those shown."""
        if self._runs is None:
            self._runs = self.planner.resident(self.state)
        return self._runs

    @property
    def count(self) -> int:
        """Rows shown."""
        if self.slices:
            return sum(piece.stop - piece.start for piece in self.slices)
        return sum(run.rows for run in self.runs)

    @property
    def query_count(self) -> int:
        """Queries of each batch row, padding included."""
        return len(self.queries)

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Which tokens are queries: of all batch rows alike, or of each."""
        return (Asked(self.queries.start, 0, len(self.queries)),)

    def batch_row(self, batch_row: int) -> Rows:
        """What is shown of one batch row, without padding."""
        return self

    def columns_of(self, batch_row: int) -> slice:
        """Which of the rows shown these are."""
        return slice(0, self.batch_row(batch_row).count)

    @property
    def slots(self) -> NDArray[np.int64]:
        """Slot of each row shown, int64 ``(rows,)``; there must be `slices`."""
        return np.concatenate([np.arange(piece.start, piece.stop) for piece in self.slices])

    @property
    def positions(self) -> NDArray[np.int64]:
        """Position of each row shown, int64 ``(rows,)``; -1 where a slot holds no resident row."""
        if self._positions is None:
            self._positions = self._find_positions()
        return self._positions

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``(queries, rows)``, True = may attend; read-only. Costs a few passes over its size."""
        if self._mask is None:
            self._mask = self._find_mask()
        return self._mask

    def spans(self, *, alone: bool) -> Spans:
        """The rows as stretches for attention, int64 ``(spans, 5)``: once, or per batch row.

        Each is (first row, its position, rows, first row among those shown, window or 0 for none).
        The first row is a slot, or (`alone`) counts the rows of arrays that hold these rows only.
        """
        found = self._spans[alone]
        if found is None:
            found = self._spans[alone] = self._find_spans(alone)
        return found

    def _find_spans(self, alone: bool) -> Spans:
        window, sink_tokens = self.planner.window or 0, self.planner.sink_tokens
        if alone:
            return (spans_of(self.positions, window, sink_tokens),)
        # A decode loop comes here at every step, and has no use for positions.
        return (self._spans_in_place(window, sink_tokens),)

    def _spans_in_place(self, window: int, sink_tokens: int) -> NDArray[np.int64]:
        spans: list[tuple[int, int, int, int, int]] = []
        row = 0
        for position, slot, rows in self.runs:
            shown = slot if self._in_slot_order else row
            sink_rows = min(max(sink_tokens - position, 0), rows)  # no window applies to them
            for first, stop, of in ((0, sink_rows, 0), (sink_rows, rows, window)):
                if first < stop:
                    where = slot + first, position + first, stop - first, shown + first
                    spans.append((*where, of))
            row += rows
        return np.array(spans, dtype=np.int64).reshape(-1, 5)

    @property
    def _in_slot_order(self) -> bool:
        return len(self.slices) == 1 and self.slices[0].start == 0

    def _find_positions(self) -> NDArray[np.int64]:
        positions = np.full(self.count, -1, dtype=np.int64)
        row = 0
        for position, slot, rows in self.runs:
            place = slot if self._in_slot_order else row
            positions[place : place + rows] = np.arange(position, position + rows)
            row += rows
        positions.flags.writeable = False
        return positions

    def _find_mask(self) -> NDArray[np.bool_]:
        query = np.arange(self.queries.start, self.queries.stop, dtype=np.int64)[:, None]
        position = self.positions[None, :]
        allowed = (position >= 0) & (position <= query)
        window, sink_tokens = self.planner.window, self.planner.sink_tokens
        if window is not None:
            allowed &= (position < sink_tokens) | (position > query - window)
        allowed.flags.writeable = False
        return allowed


class Planner(Protocol):
    """What a plan asks its strategy for, once somebody looks."""

    window: int | None
    sink_tokens: int

    def resident(self, state: State) -> tuple[Run, ...]:
        """All resident rows, oldest first."""

    def survivors(self, after: State, count: int) -> tuple[Run, ...]:
        """Where those of `count` new rows go that are still resident in `after`."""

    def seen_before(self, position: int) -> tuple[Run, ...]:
        """The rows before `position` that its query needs."""

    def first(self, state: State) -> int:
        """Oldest resident position behind the sinks."""

    def rows(self, state: State, queries: range, order: Order) -> Rows:
        """The rows that `queries` need, out of those resident in `state`."""

    def one_piece(self, state: State, order: Order) -> slice | None:
        """The slots shown, where that is plain without a look at the rows."""

    def assembled_rows(self, state: State, queries: range) -> Rows:
        """The same when some of them do not outlive the step."""
