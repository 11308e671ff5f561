"""Which rows a view shows where batch rows go apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .rows import Order, Planner, Rows
from .spans import Asked, Spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RaggedRows", "aligned"]

NONE = -1


class RaggedRows(Rows):
    """The rows of all batch rows side by side, as one array has them.

    In temporal order they are aligned by the newest, and what is missing at the front is padding,
    position -1. Batch rows that show positions 0 to 2, position 0, and nothing::

        0  1  2
       -1 -1  0
       -1 -1 -1

    In physical order a column is a slot.

    Parameters
    ----------
    planner : Planner
        The strategy.
    order : {"temporal", "physical"}
    shown : sequence of Rows
        What each batch row shows by itself.
    asked : tuple of Asked
        The queries of each.
    query_count : int
        Tokens on the token axis, padding included.
    in_slots : bool
        Whether the rows are in slots, not assembled.
    """

    def __init__(
        self,
        planner: Planner,
        order: Order,
        shown: Sequence[Rows],
        asked: tuple[Asked, ...],
        query_count: int,
        *,
        in_slots: bool,
    ) -> None:
        width = max(rows.count for rows in shown)
        self._shown = shown
        self._asked = asked
        self._query_count = query_count
        self._width = width
        self._starts = [0 if order == "physical" else width - rows.count for rows in shown]
        slices: tuple[slice, ...] = ()
        scattered = None
        if order == "physical":
            slices = (slice(0, width),)
        elif in_slots:
            scattered = aligned([rows.slots for rows in shown])
            first = int(scattered[0, 0]) if width else 0
            if (scattered == np.arange(first, first + width)).all():
                slices = (slice(first, first + width),)
        super().__init__(planner, shown[0].state, range(0), slices, ())
        self._slots = scattered
        self.scattered = None if slices else scattered

    @property
    def count(self) -> int:
        return self._width

    @property
    def query_count(self) -> int:
        return self._query_count

    @property
    def asked(self) -> tuple[Asked, ...]:
        return self._asked

    def columns_of(self, batch_row: int) -> slice:
        start = self._starts[batch_row]
        return slice(start, start + self.batch_row(batch_row).count)

    def batch_row(self, batch_row: int) -> Rows:
        rows = self._shown[batch_row]
        if rows.queries:
            return rows
        return Rows(self.planner, rows.state, rows.queries, (slice(0, 0),), ())

    @property
    def column_slots(self) -> NDArray[np.int64]:
        """Slot of each row shown, int64 ``(batch, rows)``; -1 for none."""
        if self._slots is None:
            self._slots = np.where(self.positions == NONE, NONE, np.arange(self._width))
        return self._slots

    def _find_positions(self) -> NDArray[np.int64]:
        positions = np.full((len(self._shown), self._width), NONE, dtype=np.int64)
        for batch_row, (rows, start) in enumerate(zip(self._shown, self._starts, strict=True)):
            positions[batch_row, start : start + rows.count] = rows.positions
        positions.flags.writeable = False
        return positions

    def _find_mask(self) -> NDArray[np.bool_]:
        mask = np.zeros((len(self._shown), self._query_count, self._width), dtype=bool)
        for of_batch_row, rows, start, (_, first, stop) in zip(
            mask, self._shown, self._starts, self._asked, strict=True
        ):
            of_batch_row[first:stop, start : start + rows.count] = rows.mask
        mask.flags.writeable = False
        return mask

    def _find_spans(self, alone: bool) -> Spans:
        found = []
        for rows, start in zip(self._shown, self._starts, strict=True):
            spans = rows.spans(alone=alone)[0].copy()
            spans[:, 3] += start
            if alone:
                spans[:, 0] += start
            found.append(spans)
        return tuple(found)


def aligned(lines: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Lines of different length as one array, int64 ``(lines, longest)``: -1 in front of them.

    Examples
    --------
    >>> aligned([np.array([4, 5]), np.array([], int), np.array([7])]).tolist()
    [[4, 5], [-1, -1], [-1, 7]]
    """
    array = np.full((len(lines), max(map(len, lines))), NONE, dtype=np.int64)
    for row, line in zip(array, lines, strict=True):
        row[len(row) - len(line) :] = line
    return array
