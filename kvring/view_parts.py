"""Views of a part: one batch row, or rows that were copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import checked_batch_row
from .errors import StaleViewError
from .shown import described
from .storage import read_only
from .view import KVView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .config import Layout
    from .rows import Rows
    from .spans import Spans
    from .storage import Pair

__all__ = ["PartView", "part_of"]


class PartView(KVView):
    """A copy of a view, whose rows are its own whatever becomes of the ring; or one batch row.

    Made with rows that were found when the view that it comes from was fresh.
    """

    __slots__ = ("_alone", "_layout", "_number", "_parent", "_shown", "_wide")

    _alone: bool  # whether the rows are its own
    _layout: Layout
    _number: int | None  # of the batch row, in the ring
    _parent: KVView | None  # of a batch row: it is fresh while that is
    _shown: Rows
    # Of a batch row whose rows are part of other arrays: these, and where its own begin.
    _wide: tuple[Pair, int]

    @classmethod
    def make(
        cls,
        of: KVView,
        rows: Rows,
        own: Pair | None,
        number: int | None = None,
        parent: KVView | None = None,
    ) -> PartView:
        """A view of `rows`, which come from the view `of`; `own` holds them if it is a copy."""
        view = cls()
        view._plan = of._plan
        view._order = of._order
        view._layout = of.layout
        view._shown = rows
        view._alone = own is not None
        view._number = number
        view._parent = parent
        if own is not None:
            view._own = own
        return view

    @classmethod
    def of_batch_row(
        cls, of: KVView, rows: Rows, own: Pair | None, number: int, parent: KVView | None = None
    ) -> PartView:
        """One batch row of a view of `rows`, which `own` holds if they are in no slots."""
        columns = rows.columns_of(number)
        part = None if own is None else part_of(own, number, columns, of.layout)
        view = cls.make(of, rows.batch_row(number), part, number, parent)
        if own is not None:
            view._wide = part_of(own, number, slice(None), of.layout), columns.start
        return view

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def evicted(self) -> NDArray[np.int64]:
        self._check_fresh()
        if self._number is None:
            return read_only(self._plan.evicted_positions)
        return read_only(self._plan.evicted_of(self._number))

    @property
    def segments(self) -> tuple[Pair, ...]:
        rows = self._rows()
        if self._alone or rows.scattered is not None:
            return (self._both(),)
        return tuple(self._piece(piece) for piece in rows.slices)

    def batch_row(self, batch_row: int) -> KVView:
        rows = self._rows()
        if self._number is not None:
            checked_batch_row(batch_row, 1)
            return self
        number = checked_batch_row(batch_row, len(self._own[0]))
        return PartView.of_batch_row(self, rows, self._own, number)

    def copy(self) -> KVView:
        keys, values = self._both()
        pair = read_only(keys.copy()), read_only(values.copy())
        return PartView.make(self, self._shown, pair, self._number)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter(self._both())

    def _own_pair(self) -> Pair | None:
        return self._own if self._alone else None

    def _attended(self) -> tuple[Pair, Rows, Spans]:
        if not hasattr(self, "_wide"):
            return super()._attended()
        # Attention wants arrays that are contiguous, as the part of one is not heads first.
        rows, (pair, start) = self._rows(), self._wide
        begin = np.array([start, 0, 0, 0, 0])
        return pair, rows, tuple(spans + begin for spans in rows.spans(alone=True))

    def _in_place(self) -> Pair:
        assert self._parent is not None
        assert self._number is not None
        return part_of(self._parent._in_place(), self._number, slice(None), self._layout)

    def _both(self) -> Pair:
        rows = self._rows()
        if hasattr(self, "_own"):
            return self._own
        if len(rows.slices) == 1:
            return self._piece(rows.slices[0])
        assert self._parent is not None
        with self._parent._ring.lock:
            self._check_fresh()
            self._own = self._taken(rows)
            self._parent._ring._rows_gathered += rows.count
        return self._own

    def _taken(self, rows: Rows) -> Pair:
        whole, axis = self._in_place(), self._layout.index("S")
        slots = rows.slots
        return read_only(whole[0].take(slots, axis)), read_only(whole[1].take(slots, axis))

    def _piece(self, slots: slice) -> Pair:
        return part_of(self._in_place(), 0, slots, self._layout)

    def _rows(self) -> Rows:
        self._check_fresh()
        return self._shown

    def _check_fresh(self) -> None:
        if self._parent is not None:
            self._parent._check_fresh()

    def __repr__(self) -> str:
        kind = "copied" if self._parent is None else f"batch row {self._number}"
        # Nothing is gathered to name a view, and a stale one has a name too.
        dtype = self._own[0].dtype if self._parent is None else self._parent._ring.dtype
        try:
            rows = described(self._shown, dtype)
            self._check_fresh()
        except StaleViewError:
            return f"<KVView {kind}: rows of {dtype}; stale>"
        return f"<KVView {kind}: {rows}>"


def part_of(pair: Pair, batch_row: int, tokens: slice, layout: Layout) -> Pair:
    """Tokens of one batch row, which stays an axis."""
    which = slice(batch_row, batch_row + 1)
    index = (which, tokens) if layout == "BSHD" else (which, slice(None), tokens)
    return pair[0][index], pair[1][index]
