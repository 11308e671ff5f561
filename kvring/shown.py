"""What a view says of its rows, without a look at keys or values."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from .storage import read_only
from .text import counted

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from .plan import Plan
    from .rows import Order, Rows

__all__ = ["Shown", "described"]


class Shown:
    """The properties of a :class:`kvring.KVView` that follow from its rows' positions."""

    __slots__ = ()

    _order: Order
    _plan: Plan

    @abstractmethod
    def _rows(self) -> Rows:
        """What is shown, provided that the layer is still as the view saw it."""

    @property
    def positions(self) -> NDArray[np.int64]:
        """Position of each row, int64 ``(rows,)``; -1 for a slot that holds no resident row.

        ``(batch, rows)`` where batch rows differ, or the update was given `token_counts`. In
        temporal order the newest come last then, and a batch row with fewer rows than others has
        padding in front: position -1, and zeros for K and V.
        """
        return self._rows().positions

    def mask(self) -> NDArray[np.bool_]:
        """Who may attend to what: bool ``(queries, rows)``, True = may attend.

        ``(batch, queries, rows)`` where `positions` has one line per batch row; queries are then
        all tokens of the update, and padding may attend to nothing.

        The queries are those of the update's new tokens; a ``read`` view has one, the newest token,
        which sees nothing in an empty layer. Computed once for all layers of a step; read-only.
        """
        return self._rows().mask

    @property
    def evicted(self) -> NDArray[np.int64]:
        """Positions that this update pushed out, int64 ``(evicted,)``, oldest first.

        ``(batch, evicted)`` where batch rows differ in that; newest last and -1 for none where
        they differ in number.
        """
        self._rows()
        return read_only(self._plan.evicted_positions)

    @property
    def order(self) -> Order:
        """ "temporal" or "physical", as it was asked for."""
        return self._order

    @property
    def row_count(self) -> int:
        """Rows shown: the length of `positions`, of one line of them."""
        return self._rows().count


def described(rows: Rows, dtype: np.dtype[Any]) -> str:
    """Rows, for people."""
    held = rows.positions[rows.positions >= 0]
    span = f", positions {held.min()}..{held.max()}" if len(held) else ""
    queries = counted(rows.query_count, "query", "queries")
    return f"{counted(rows.count, 'row')} of {dtype}{span}, {queries}"
