"""KVCache: where strategies and rings meet. Plan, check, then rows and state together.

An update has a fast path and a careful one. The fast path guesses that the call is like the one
before it, and leaves it to the kernel to verify the shapes. Where anything is unlike, nothing has
happened yet, and the careful path finds out what to do or what to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from .checks import checked_layer, checked_order, checked_tokens
from .config import CacheConfig, Mode, checked_bool
from .errors import CapacityError
from .kernels import TICKET
from .plan import Move
from .ring import RingBuffer
from .rows import ORDERS, PHYSICAL, TEMPORAL, Order
from .steps import Steps, write_rows
from .strategy import strategy_for
from .total import what_total_means
from .view import KVView, make_view
from .whole import WholeCache

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from .config import Layout

__all__ = ["KVCache"]


class UnlikeError(Exception):
    """Not the call that the fast path is for."""


class KVCache(WholeCache):
    """Keys and values of all layers of a transformer, in preallocated ring buffers.

    Parameters
    ----------
    layers : int
        Number of layers.
    kv_heads, head_dim : int, or one per layer
        Key/value heads (not query heads) and elements of a key per head.
    strategy : Append, Circular or Replace, or one per layer
        The mode: every position stays; a sliding window with sinks and rollback; or each update
        replaces everything.
    value_dim : int, or one per layer, optional
        Elements of a value per head; `head_dim` if not given.
    batch : int, optional
        Batch rows.
    dtype : dtype, optional
        A numeric dtype of 1, 2, 4 or 8 bytes, or a bfloat16 or float8 of the package ml_dtypes.
        Stored bit for bit.
    layout : {"BSHD", "BHSD"}, optional
        Axes of inputs and views: ``(batch, tokens, kv_heads, dim)`` or heads before tokens.
    huge_pages : bool, optional
        Back the slots with pages of 2 MiB. Filling a large cache for the first time is faster
        then, but memory is committed 2 MiB at a time, in every plane of every layer.

    Raises
    ------
    ConfigError
        If an argument makes no cache, or the memory cannot be reserved.

    Notes
    -----
    Cost: construction reserves address space, no memory: rows are committed as they are written.
    Threads: any method may be called from any thread; an update is atomic per layer.

    Examples
    --------
    >>> import numpy as np
    >>> from kvring import Circular, KVCache
    >>> mode = Circular(window=4, sink_tokens=1)
    >>> cache = KVCache(layers=2, kv_heads=1, head_dim=2, strategy=mode)
    >>> for position in range(8):
    ...     for layer in range(2):
    ...         rows = np.full((1, 1, 1, 2), position, dtype=np.float32)
    ...         view = cache.update(layer, rows, rows)
    >>> cache.seq_len, view.positions.tolist()
    (8, [0, 4, 5, 6, 7])
    """

    def __init__(
        self,
        *,
        layers: int,
        kv_heads: int | Iterable[int],
        head_dim: int | Iterable[int],
        strategy: Mode | Iterable[Mode],
        value_dim: int | Iterable[int] | None = None,
        batch: int = 1,
        dtype: DTypeLike = "float32",
        layout: Layout = "BSHD",
        huge_pages: bool = False,
    ) -> None:
        config = CacheConfig.build(
            layers=layers,
            kv_heads=kv_heads,
            head_dim=head_dim,
            strategy=strategy,
            value_dim=value_dim,
            batch=batch,
            dtype=dtype,
            layout=layout,
        )
        self._build(config, checked_bool("huge_pages", huge_pages))

    def _build(self, config: CacheConfig, huge_pages: bool) -> None:
        steps: dict[Mode, Steps] = {}
        for layer in config.layers:
            if layer.strategy not in steps:
                strategy = strategy_for(layer.strategy)
                steps[layer.strategy] = Steps(strategy, strategy.start())
        self.config = config
        self._huge_pages = huge_pages
        self._steps = tuple(steps[layer.strategy] for layer in config.layers)
        self._strategies = tuple(step.strategy for step in self._steps)
        # One list for all layers: truncate and reset swap all states in a single assignment.
        self._ledger: list[Move] = [step.look for step in self._steps]
        self.rings = tuple(
            RingBuffer(
                step.strategy.capacity,
                layer.kv_heads,
                layer.head_dim,
                value_dim=layer.value_dim,
                batch=config.batch,
                dtype=config.dtype,
                layout=config.layout,
                huge_pages=huge_pages,
                ledger=self._ledger,
                place=number,
            )
            for number, (layer, step) in enumerate(zip(config.layers, self._steps, strict=True))
        )
        self._layers = tuple(
            (ring, steps, ring.lock, ring._written)
            for ring, steps in zip(self.rings, self._steps, strict=True)
        )

    def update(
        self,
        layer: int,
        keys: NDArray[Any],
        values: NDArray[Any],
        *,
        seq_len: int | None = None,
        order: Order = "temporal",
    ) -> KVView:
        """Store new tokens of one layer and show what their queries may attend to.

        Parameters
        ----------
        layer : int
            0 to ``layers - 1``.
        keys, values : array ``(batch, tokens, kv_heads, dim)``
            The new rows (heads before tokens in layout BHSD), in exactly the cache's dtype.
            Non-contiguous and read-only arrays are fine; so are views of this cache: the result is
            as if they had been copied first.
        seq_len : int, optional, tokens
            The total that the sequence shall have. Then K and V may be the full history or the new
            rows alone, and with no rows a smaller total truncates all layers.
        order : {"temporal", "physical"}, optional
            Oldest row first, or slot order in a single zero-copy piece.

        Returns
        -------
        KVView
            The union of what the queries of these tokens see: for one token its window, for a
            chunk also the rows that only its early queries need.

        Raises
        ------
        ShapeError, DTypeError, LayerError, ConfigError
            If an argument does not fit. Nothing is written, views stay as they are.
        CapacityError
            If the tokens do not fit. Likewise.
        PositionError, EvictedError
            From the truncate that a smaller `seq_len` asks for. Likewise.

        Notes
        -----
        Cost: little more than copying the rows into their slots, whatever the capacity; a chunk
        longer than ``rollback_tokens + 1`` on a full ring also copies its window. Threads: atomic
        per layer; updates of different layers run in parallel.
        """
        if seq_len is not None:
            return self._update_to_total(layer, keys, values, seq_len, order)
        try:
            if layer.__class__ is not int or layer < 0:
                raise UnlikeError
            ring, steps, lock, written = self._layers[layer]
            if not (
                keys.__class__ is ndarray is values.__class__  # a subclass may lie about the rest
                and keys.ndim == 4 == values.ndim
                and keys.dtype is ring.dtype is values.dtype
            ):
                raise UnlikeError
            if order is not PHYSICAL and order is not TEMPORAL:
                order = ORDERS[order]
            with lock:
                last = self._ledger[layer]
                if last.ticket != written[TICKET] and last.count:  # published, not carried out
                    raise UnlikeError
                plan = steps.plan
                if plan.before is not last.after:
                    plan = steps.plan_for(last.after, 1)
                if plan.assembled:
                    raise UnlikeError
                self._ledger[layer] = plan
                if plan.count == 1:
                    refused = ring._put_row(
                        ring._block, keys, values, plan.ticket, plan.evicted_count, plan.slot
                    )
                else:
                    refused = ring._put_many(plan, keys, values)
                if refused:
                    raise UnlikeError
            view = KVView()
            view._ring = ring
            view._plan = plan
            view._order = order
            return view
        except (UnlikeError, LookupError, TypeError, CapacityError):
            pass
        return self._update_carefully(layer, keys, values, order)

    def read(self, layer: int, *, order: Order = "temporal") -> KVView:
        """Show what the newest token of a layer may attend to.

        Parameters
        ----------
        layer : int
            0 to ``layers - 1``.
        order : {"temporal", "physical"}, optional
            As in `update`.

        Returns
        -------
        KVView
            Exactly ``visible(seq_len - 1)``, with one query; 0 rows when the layer is empty.

        Raises
        ------
        LayerError, DTypeError, ConfigError
            If there is no such layer, or no such order.

        Notes
        -----
        Cost: under a microsecond; nothing is copied. Threads: any.
        """
        ring, steps, lock, _ = self._layers[checked_layer(layer, len(self._layers))]
        order = checked_order(order)
        with lock:
            return make_view(ring, steps.look_at(ring.state), order)

    def _update_carefully(self, layer: int, keys: Any, values: Any, order: Order) -> KVView:
        """Update with every check in full, for what the fast path does not take."""
        ring, steps, lock, _ = self._layers[checked_layer(layer, len(self._layers))]
        order = checked_order(order)
        keys, values, count = ring.checked(keys, values)
        with lock:
            return write_rows(ring, steps, keys, values, count, order)

    def _update_to_total(
        self, layer: int, keys: Any, values: Any, seq_len: int, order: Order
    ) -> KVView:
        """Update in the ``seq_len=`` form (law 6)."""
        number = checked_layer(layer, len(self._layers))
        ring, steps, lock, _ = self._layers[number]
        order = checked_order(order)
        total = checked_tokens("seq_len", seq_len)
        keys, values, given = ring.checked(keys, values)
        with lock:
            todo = what_total_means(
                total,
                before=ring.state.seq_len,
                given=given,
                replaces=steps.strategy.replaces,
            )
            if todo.verb == "write":
                new_keys, new_values = ring.without_first(todo.skip, keys, values)
                view = write_rows(ring, steps, new_keys, new_values, given - todo.skip, order)
                if given:
                    return view
        if todo.verb == "truncate":
            self.truncate(total)
        return self.read(number, order=order)
