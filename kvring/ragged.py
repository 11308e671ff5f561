"""Steps in which batch rows go apart: different numbers of tokens, or different states before.

Two batch rows in append mode, with 3 tokens and 1, take a chunk that is padded on the left::

    token_counts [1, 2]     slots
    batch row 0     . d     -1  3
    batch row 1     b c      1  2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from .plan import Plan
from .ragged_rows import RaggedRows, aligned
from .rows import LayerState, Order, Planner, Rows, Run, State, joined_state
from .spans import Asked

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PADDINGS", "RIGHT", "Padding", "RaggedPlan", "RaggedPlanner", "TokenCounts"]

Padding: TypeAlias = Literal["right", "left"]
RIGHT: Padding = "right"
PADDINGS: dict[str, Padding] = {RIGHT: RIGHT, "left": "left"}


class TokenCounts(NamedTuple):
    """How many of the tokens of an update are real, in each batch row.

    Parameters
    ----------
    of_batch_rows : tuple of int, tokens
    width : int, tokens
        Those on the token axis, padding included.
    padding : {"right", "left"}
        At which end of the token axis padding stands.
    """

    of_batch_rows: tuple[int, ...]
    width: int
    padding: Padding = RIGHT

    def real(self, batch_row: int) -> slice:
        """Which tokens of a batch row are real."""
        count = self.of_batch_rows[batch_row]
        if self.padding == RIGHT:
            return slice(0, count)
        return slice(self.width - count, self.width)


class RaggedPlanner(Planner, Protocol):
    """What a ragged plan asks its strategy for, besides."""

    def rows_apart(
        self, state: LayerState, queries: Sequence[range], order: Order
    ) -> Sequence[Rows]:
        """What each batch row shows of `state`; every row there in physical order."""


class RaggedPlan(Plan):
    """One step in which batch rows go apart: each as if it were a layer of its own.

    Parameters
    ----------
    planner : RaggedPlanner
        The strategy.
    before : LayerState
        The state of the layer before; identity is what layers find a plan by.
    afters : sequence of State
        The state of each batch row after it.
    given : TokenCounts
        The tokens of the update. Of a `read`, the queries: one of each batch row.
    slots : int64 array (batch, tokens)
        Slot of each new row; -1 for padding, and for a row that does not outlive the step. A step
        that writes nothing has no columns here.
    evicted_counts : sequence of int, rows
        Of each batch row, how many rows leave.
    assembled : bool
        Whether the queries of any batch row need rows that do not outlive the step.
    """

    __slots__ = ("afters", "counts", "evicted_counts", "given", "token_count", "whole")

    planner: RaggedPlanner
    # Plans are found by identity of `before`, and views are fresh while the layer is in `after`.
    before: LayerState  # type: ignore[assignment]
    after: LayerState  # type: ignore[assignment]

    def __init__(
        self,
        planner: RaggedPlanner,
        before: LayerState,
        afters: Sequence[State],
        given: TokenCounts,
        slots: NDArray[np.int64],
        evicted_counts: Sequence[int],
        assembled: bool = False,
    ) -> None:
        super().__init__(
            planner,
            before,  # type: ignore[arg-type]
            joined_state(afters),  # type: ignore[arg-type]
            slots.shape[1],
            given.width,
            evicted_count=sum(evicted_counts),
            assembled=assembled,
        )
        self.needs_care = True
        self._slots = slots
        self.given = given
        # For who is in a hurry: the counts as a list, and whether there is no padding.
        self.counts = list(given.of_batch_rows)
        self.whole = self.counts == [given.width] * len(self.counts)
        self.afters = afters
        self.evicted_counts = evicted_counts
        self.token_count = sum(given.of_batch_rows) if self.count else 0

    def totals(self, batch: int) -> tuple[int, int]:
        return self.token_count, self.evicted_count

    def queries_of(self, batch_row: int) -> range:
        """Positions of the queries of one batch row."""
        stop = self.afters[batch_row].seq_len
        return range(stop - self.given.of_batch_rows[batch_row], stop)

    def kept_of(self, batch_row: int) -> tuple[Run, ...]:
        """Old rows of a batch row that an assembled view takes along."""
        queries = self.queries_of(batch_row)
        return self.planner.seen_before(queries.start) if queries else ()

    def evicted_of(self, batch_row: int) -> NDArray[np.int64]:
        """Positions that leave a batch row, int64 ``(evicted,)``, oldest first."""
        first = self.planner.first(self.afters[batch_row])
        return np.arange(first - self.evicted_counts[batch_row], first, dtype=np.int64)

    @property
    def evicted_positions(self) -> NDArray[np.int64]:
        """Those of all batch rows, int64 ``(batch, evicted)``: newest last, -1 for none."""
        return aligned([self.evicted_of(batch_row) for batch_row in range(len(self.afters))])

    @property
    def assembled_count(self) -> int:
        """Rows of an assembled view, of all batch rows together; 0 if the view is not assembled."""
        if not self.assembled:
            return 0
        kept = (run for batch_row in range(len(self.afters)) for run in self.kept_of(batch_row))
        return self.token_count + sum(run.rows for run in kept)

    def rows(self, order: Order) -> Rows:
        if order == "physical" and any(self.given.of_batch_rows) and not self.assembled:
            if self._physical is None:
                self._physical = self._find_rows("physical")
            return self._physical
        if self._temporal is None:
            self._temporal = self._find_rows("temporal")
        return self._temporal

    def piece(self, order: Order) -> slice | None:
        if order == "physical" and any(self.given.of_batch_rows) and not self.assembled:
            pieces = [self.planner.one_piece(after, order) for after in self.afters]
            stops = [piece.stop for piece in pieces if piece is not None]
            if len(stops) == len(pieces):
                return slice(0, max(stops))
        slices = self.rows(order).slices
        return slices[0] if slices else None

    def _find_rows(self, order: Order) -> Rows:
        queries = [self.queries_of(batch_row) for batch_row in range(len(self.afters))]
        if self.assembled:
            shown: Sequence[Rows] = [
                self.planner.assembled_rows(after, asked)
                if asked
                else Rows(self.planner, after, asked, (), ())
                for after, asked in zip(self.afters, queries, strict=True)
            ]
        else:
            shown = self.planner.rows_apart(self.after, queries, order)
        return RaggedRows(
            self.planner,
            order,
            shown,
            self._asked(queries),
            self.given.width,
            in_slots=not self.assembled,
        )

    def _asked(self, queries: Sequence[range]) -> tuple[Asked, ...]:
        asked = []
        for batch_row, positions in enumerate(queries):
            real = self.given.real(batch_row)
            asked.append(Asked(positions.start, real.start, real.stop))
        return tuple(asked)
