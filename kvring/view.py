"""KVView: what the queries of one update, or of a read, may attend to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import StaleViewError
from .plan import Plan
from .rows import TEMPORAL, Order, Rows
from .storage import read_only
from .text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .ring import RingBuffer
    from .storage import Pair

__all__ = ["KVView", "make_view"]


class KVView:
    """Rows of one layer, read-only: ``keys, values = view``.

    Made by ``update`` and ``read``, never by hand. A view looks at the ring itself; it is stale as
    soon as the layer changes (an update with tokens, any update in replace mode, truncate, reset),
    and using a stale one raises StaleViewError. Arrays taken out of a view before are plain
    windows on the ring and are *not* protected: use them before the next write, or `copy`.

    Notes
    -----
    Temporal order is oldest first: exactly the rows that the queries need, in one to three
    zero-copy `segments`. Physical order is one zero-copy piece in every state of the ring, slots 0
    to the last one in use, in slot order; rows that no query may attend to are in it, and `mask`
    excludes them. Softmax does not care about order, so decode loops take physical order.

    Cost: making a view 0.3 us; `keys` and `values` are slices where there is one piece, and
    otherwise gathered, once, and counted in ``cache.stats.rows_gathered``.
    Threads: a view may be used from any thread; see `copy` for one that outlives other writers.

    Examples
    --------
    >>> from kvring import Circular, KVCache
    >>> cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Circular(window=3))
    >>> rows = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    >>> for t in range(5):
    ...     view = cache.update(0, rows[:, t : t + 1], rows[:, t : t + 1])
    >>> view.positions.tolist(), [keys.ravel().tolist() for keys, _ in view.segments]
    ([2, 3, 4], [[2.0], [3.0, 4.0]])
    >>> cache.read(0, order="physical").positions.tolist()
    [3, 4, 2]
    """

    # No __init__: the three stores that make a view are done in place on the hot path of update,
    # where calling an __init__ would cost a tenth of the step. Elsewhere `make_view` does them.
    __slots__ = ("_order", "_own", "_plan", "_ring")

    _order: Order
    _own: Pair  # arrays of the view itself: assembled, gathered or copied; not set otherwise
    _plan: Plan
    _ring: RingBuffer

    @property
    def keys(self) -> NDArray[Any]:
        """Keys ``(batch, rows, kv_heads, head_dim)``, or in layout BHSD; read-only."""
        return self._both()[0]

    @property
    def values(self) -> NDArray[Any]:
        """Values ``(batch, rows, kv_heads, value_dim)``, or in layout BHSD; read-only."""
        return self._both()[1]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        ring, plan = self._ring, self._plan
        # The decode loop's way: this plan was carried out, so while it is in the ledger it is the
        # last one that was. Whatever is not plain goes the other way.
        if ring._ledger[ring._place] is plan:
            index = plan.temporal_index if self._order is TEMPORAL else plan.physical_index
            if index is not None:
                return iter((ring.keys_shown[index], ring.values_shown[index]))
        return iter(self._both())

    @property
    def segments(self) -> tuple[Pair, ...]:
        """One to three zero-copy ``(keys, values)`` pairs, in the view's order.

        Sinks, rows before the wrap, rows after it, neighbours joined; one pair of 0 rows where
        there are none. An assembled view is one pair of its own.
        """
        rows = self._rows()
        if self._plan.assembled:
            return (self._own,)
        return tuple(map(self._ring.piece, rows.slices))

    @property
    def positions(self) -> NDArray[np.int64]:
        """Position of each row, int64 ``(rows,)``; -1 for a slot that holds no resident row."""
        return self._rows().positions

    def mask(self) -> NDArray[np.bool_]:
        """Who may attend to what: bool ``(queries, rows)``, True = may attend.

        The queries are those of the update's new tokens; a ``read`` view has one, the newest token,
        which sees nothing in an empty layer. Computed once for all layers of a step; read-only.
        """
        return self._rows().mask

    @property
    def evicted(self) -> NDArray[np.int64]:
        """Positions that this update pushed out, int64 ``(evicted,)``, oldest first."""
        self._rows()
        evicted = self._plan.evicted
        return read_only(np.arange(evicted.start, evicted.stop, dtype=np.int64))

    @property
    def order(self) -> Order:
        """ "temporal" or "physical", as it was asked for."""
        return self._order

    def copy(self) -> KVView:
        """The same rows, positions and mask over arrays of its own, never stale.

        Raises
        ------
        StaleViewError
            If the layer has changed before. Cost: one copy of the rows, under the layer's lock.
        """
        with self._ring.lock:
            rows = self._rows()
            if hasattr(self, "_own"):
                keys, values = self._own
                pair = read_only(keys.copy()), read_only(values.copy())
            else:
                pair = self._ring.joined(rows.slices)
        return _OwnedView.make(self._plan, self._order, pair)

    def _both(self) -> Pair:
        rows = self._rows()
        if len(rows.slices) == 1:
            index = self._ring.index_of(rows.slices[0])
            if self._order is TEMPORAL:
                self._plan.temporal_index = index
            else:
                self._plan.physical_index = index
            return self._ring.keys_shown[index], self._ring.values_shown[index]
        if not hasattr(self, "_own"):
            self._gather()
        return self._own

    def _gather(self) -> None:
        """Several pieces as one pair, copied under the lock so that no writer comes between."""
        with self._ring.lock:
            rows = self._rows()
            self._own = self._ring.joined(rows.slices)
            self._ring._rows_gathered += rows.count * self._ring.batch

    def _rows(self) -> Rows:
        """What is shown, provided that the layer is still as the view saw it."""
        ring = self._ring
        if ring._ledger[ring._place] is not self._plan:
            self._check_fresh()
        return self._plan.rows(self._order)

    def _check_fresh(self) -> None:
        before, now = self._plan.after, self._ring.state
        if now != before:
            how = f"seq_len {before.seq_len} then, {now.seq_len} now"
            if now.epoch != before.epoch:
                how += ", tokens were taken back"
            raise StaleViewError(
                f"this view is stale: the layer has changed since it was made ({how}); use it"
                f" before the next write, or keep view.copy()"
            )

    def __repr__(self) -> str:
        kind = "assembled" if self._plan.assembled else self._order
        stale = "" if self._ring.state == self._plan.after else "; stale"
        return f"<KVView {kind}: {_described(self._plan.rows(self._order), self._ring)}{stale}>"


class _OwnedView(KVView):
    """What `copy` returns: the rows are its own, whatever becomes of the ring."""

    __slots__ = ()

    @classmethod
    def make(cls, plan: Plan, order: Order, pair: Pair) -> _OwnedView:
        view = cls()
        view._plan = plan
        view._order = order
        view._own = pair
        return view

    @property
    def segments(self) -> tuple[Pair, ...]:
        return (self._own,)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter(self._own)

    def copy(self) -> KVView:
        keys, values = self._own
        pair = read_only(keys.copy()), read_only(values.copy())
        return self.make(self._plan, self._order, pair)

    def _both(self) -> Pair:
        return self._own

    def _rows(self) -> Rows:
        return self._plan.rows(self._order)

    def __repr__(self) -> str:
        return f"<KVView copied: {_described(self._rows(), self._own[0])}>"


def make_view(ring: RingBuffer, plan: Plan, order: Order, own: Pair | None = None) -> KVView:
    """A view of `ring` through `plan`; `own` are its rows if they are not in the ring's slots."""
    view = KVView()
    view._ring = ring
    view._plan = plan
    view._order = order
    if own is not None:
        view._own = own
    return view


def _described(rows: Rows, of: RingBuffer | NDArray[Any]) -> str:
    held = rows.positions[rows.positions >= 0]
    span = f", positions {held.min()}..{held.max()}" if len(held) else ""
    queries = len(rows.queries)
    return (
        f"{counted(rows.count, 'row')} of {of.dtype}{span}, {counted(queries, 'query', 'queries')}"
    )
