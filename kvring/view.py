"""KVView: what the queries of one update, or of a read, may attend to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .checks import checked_batch_row
from .errors import StaleViewError
from .gathering import gathered
from .plan import Plan
from .rows import TEMPORAL, LayerState, Order, Rows, states_of
from .shown import Shown, described
from .storage import read_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .config import Layout
    from .ring import RingBuffer
    from .spans import Spans
    from .storage import Pair

__all__ = ["KVView", "make_view"]


class KVView(Shown):
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
    >>> import numpy as np
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
        if rows.scattered is not None:
            return (self._both(),)
        return tuple(map(self._ring.piece, rows.slices))

    @property
    def layout(self) -> Layout:
        """Axis order of keys and values, "BSHD" or "BHSD"."""
        return self._ring.layout

    def batch_row(self, batch_row: int) -> KVView:
        """What one batch row shows, as if the cache had no other: batch 1 and no padding.

        Its queries are the real ones alone; it has no rows where the update brought that batch row
        no tokens.

        Parameters
        ----------
        batch_row : int
            0 to ``batch - 1``.

        Raises
        ------
        ShapeError, DTypeError
            If there is no such batch row, or `batch_row` is no int.
        StaleViewError
            If the layer has changed since this view was made.

        Notes
        -----
        Zero-copy where the same view of a cache of one batch row would be, and stale when this one
        is. Cost: a few us.
        """
        rows = self._rows()
        number = checked_batch_row(batch_row, self._ring.batch)
        from .view_parts import PartView  # which derives from this class

        return PartView.of_batch_row(self, rows, self._own_pair(), number, self)

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
                pair = self._taken(rows)
        from .view_parts import PartView  # which derives from this class

        return PartView.make(self, rows, pair)

    def _own_pair(self) -> Pair | None:
        """The rows, if they are in no slots."""
        return self._own if self._plan.assembled else None

    def _in_place(self) -> Pair:
        """All slots of the batch rows shown."""
        return self._ring.keys_shown, self._ring.values_shown

    def _attended(self) -> tuple[Pair, Rows, Spans]:
        """K and V in place, the rows that are shown of them, and where these lie there."""
        own = self._own_pair()
        # Before the look at staleness: arrays of another size must not meet this view's slots.
        pair = self._in_place() if own is None else own
        rows = self._rows()
        return pair, rows, rows.spans(alone=own is not None)

    def _both(self) -> Pair:
        self._check_fresh()
        piece = self._plan.piece(self._order)
        if piece is not None:
            index = self._ring.index_of(piece)
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
            self._own = self._taken(rows)
            self._ring._rows_gathered += rows.count * self._ring.batch

    def _taken(self, rows: Rows) -> Pair:
        """The rows as a pair of new arrays."""
        if rows.scattered is not None:
            return gathered(self._ring, rows.scattered)
        return self._ring.joined(rows.slices)

    def _rows(self) -> Rows:
        """What is shown, provided that the layer is still as the view saw it."""
        self._check_fresh()
        return self._plan.rows(self._order)

    def _check_fresh(self) -> None:
        ring = self._ring
        if ring._ledger[ring._place] is self._plan:
            return
        before, now = self._plan.after, ring.state
        if now != before:
            how = _changed(before, now)
            if now.epoch != before.epoch:
                how += ", tokens were taken back, replaced or moved"
            raise StaleViewError(
                f"this view is stale: the layer has changed since it was made ({how}); use it"
                f" before the next write, or keep view.copy()"
            )

    def __repr__(self) -> str:
        kind = "assembled" if self._plan.assembled else self._order
        stale = "" if self._ring.state == self._plan.after else "; stale"
        try:
            rows = described(self._plan.rows(self._order), self._ring.dtype)
        except StaleViewError:  # with eviction, what was shown is not known any more
            rows = f"rows of {self._ring.dtype}"
        return f"<KVView {kind}: {rows}{stale}>"


def make_view(ring: RingBuffer, plan: Plan, order: Order, own: Pair | None = None) -> KVView:
    """A view of `ring` through `plan`; `own` are its rows if they are not in the ring's slots."""
    view = KVView()
    view._ring = ring
    view._plan = plan
    view._order = order
    if own is not None:
        view._own = own
    return view


def _changed(before: LayerState, now: LayerState) -> str:
    """What has become of a layer, for people."""
    seen = [[one.seq_len for one in states_of(state)] for state in (before, now)]
    if max(map(len, seen)) > 1:
        return f"seq_lens {seen[0]} then, {seen[1]} now"
    return f"seq_len {seen[0][0]} then, {seen[1][0]} now"
