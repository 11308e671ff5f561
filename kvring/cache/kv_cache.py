"""KVCache: where strategies and rings meet. Plan, check, then rows and state together.

An update has a fast path and a careful one. The fast path guesses that the call is like the one
before it, and leaves it to the kernel to verify the shapes. Where anything is unlike, nothing has
happened yet, and the careful path finds out what to do or what to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from ..checks import checked_layer, checked_order
from ..config import CacheConfig, Mode
from ..errors import CapacityError, PolicyError
from ..kernels import TICKET
from ..options import checked_bool
from ..plan import Move
from ..ragged import RIGHT, Padding
from ..ring import RingBuffer
from ..rows import PHYSICAL, TEMPORAL, Order
from ..view import KVView, make_view
from .careful import CarefulCache
from .steps import Steps, steps_for

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from ..config import Layout

__all__ = ["KVCache"]


class UnlikeError(Exception):
    """Not the call that the fast path is for."""


class KVCache(CarefulCache):
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
        self.config = config
        self._huge_pages = huge_pages
        self._steps = tuple(steps_for(of.strategy, config.batch, steps) for of in config.layers)
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
        self._begin_sharing()
        self._follow_rings()

    def update(
        self,
        layer: int,
        keys: NDArray[Any],
        values: NDArray[Any],
        *,
        seq_len: int | None = None,
        token_counts: Iterable[int] | None = None,
        padding: Padding = "right",
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
        token_counts : list of int, optional, tokens
            How many of the tokens are real in each batch row; the others are padding, which is
            neither read nor stored. Not together with `seq_len`.
        padding : {"right", "left"}, optional
            At which end of the token axis padding stands.
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
        if seq_len is not None or token_counts is not None or padding is not RIGHT:
            return self._update_other(layer, keys, values, seq_len, token_counts, padding, order)
        try:
            if layer.__class__ is not int:
                raise UnlikeError
            try:
                ring, steps, lock, written, readers = self._layers[layer]
            except KeyError:  # nothing is called here, so it is no signal handler's
                raise UnlikeError from None
            if not (
                keys.__class__ is ndarray is values.__class__  # a subclass may lie about the rest
                and keys.ndim == 4 == values.ndim
                and keys.dtype is ring.dtype is values.dtype
                and (order is PHYSICAL or order is TEMPORAL)
            ):
                raise UnlikeError
            with lock:
                last = self._ledger[layer]
                if readers or (last.ticket != written[TICKET] and last.count):  # not carried out
                    raise UnlikeError
                plan = steps.plan
                if plan.before is not last.after:
                    plan = steps.quick_plan(last.after)
                if plan.needs_care:
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
            view._ring, view._plan, view._order = ring, plan, order
            return view
        except (UnlikeError, CapacityError, PolicyError):  # no class that signal handlers raise
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
        ring, steps, lock, *_ = self._layers[checked_layer(layer, len(self._layers))]
        order = checked_order(order)
        with lock:
            return make_view(ring, steps.look_at(ring.state), order)
