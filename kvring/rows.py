"""The plain records in which strategies speak of rows: State, Run, Rows.

None of them changes once made, so all layers of a step can share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ORDERS", "PHYSICAL", "TEMPORAL", "Order", "Planner", "Rows", "Run", "State"]

Order: TypeAlias = Literal["temporal", "physical"]
# Views hold these two objects, so that identity tells them apart. Equal literals in a caller's code
# are the same objects already; an equal string made at run time is looked up.
TEMPORAL: Order = "temporal"
PHYSICAL: Order = "physical"
ORDERS: dict[str, Order] = {TEMPORAL: TEMPORAL, PHYSICAL: PHYSICAL}


class State(NamedTuple):
    """All that a layer knows of itself besides its bytes.

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
    """

    seq_len: int
    length: int
    head: int
    epoch: int


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

    def _find_positions(self) -> NDArray[np.int64]:
        positions = np.full(self.count, -1, dtype=np.int64)
        row = 0
        physical = len(self.slices) == 1 and self.slices[0].start == 0
        for position, slot, rows in self.runs:
            place = slot if physical else row
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

    def assembled_rows(self, state: State, queries: range) -> Rows:
        """The same when some of them do not outlive the step."""
