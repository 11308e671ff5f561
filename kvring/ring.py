"""RingBuffer: K and V of one layer, a head, a length. Moves rows, decides nothing.

Five rows through a ring of three slots::

    append a b        append c d          append e
    slot  0 1 2       slot  0 1 2         slot  0 1 2
          a b .             d b c               d e c
    head = 0          head = 1            head = 2
    length = 2        length = 3          length = 3
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from . import kernels
from .admission import NotAdmittedError
from .config import checked_layout
from .dtypes import checked_dtype
from .errors import KVRingError, ShapeError
from .forking import survives_fork
from .options import checked_bool, checked_int
from .plan import Move, Plan, plain_move
from .ragged import RaggedPlan
from .readers import Readers
from .rows import LayerState, RaggedState, State, states_of
from .storage import Pair, Storage
from .text import slots_used

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from .config import Layout

__all__ = ["RingBuffer"]


class RingBuffer(Storage):
    """A ring of rows: keys and values of one layer in preallocated slots.

    Used alone it is a plain ring: `append` writes behind the newest row and, once full, over the
    oldest. Inside a :class:`~kvring.KVCache` it carries out what the layer's strategy has planned.

    Parameters
    ----------
    capacity : int, tokens
        Slots.
    kv_heads, head_dim : int
        Heads of a row and elements of a key per head.
    value_dim : int, optional
        Elements of a value per head; `head_dim` if not given.
    batch : int, optional
        Batch rows.
    dtype : dtype, optional
        A numeric dtype of 1, 2, 4 or 8 bytes.
    layout : {"BSHD", "BHSD"}, optional
        ``(batch, tokens, kv_heads, dim)`` or ``(batch, kv_heads, tokens, dim)``.
    huge_pages : bool, optional
        Back the slots with pages of 2 MiB: see the notes of :class:`~kvring.KVCache`.
    ledger : list of Move, optional
        Where the ring's move is kept, at index `place`. The rings of a cache share one list, so
        that one assignment can move all of them.
    place : int, optional
        This ring's index in `ledger`.

    Raises
    ------
    ConfigError
        If an argument makes no ring, or the memory cannot be reserved.

    Notes
    -----
    Cost: reserving is independent of `capacity`; memory is committed as rows are written.
    Threads: `append`, `segments` and `clear` may be called from any thread.

    Examples
    --------
    >>> import numpy as np
    >>> ring = RingBuffer(capacity=3, kv_heads=1, head_dim=1)
    >>> rows = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
    >>> ring.append(rows[:, :2], rows[:, :2])
    0
    >>> ring.append(rows[:, 2:], rows[:, 2:])      # two of the rows before give way
    2
    >>> ring.head, ring.length
    (2, 3)
    >>> [keys.ravel().tolist() for keys, values in ring.segments]
    [[2.0], [3.0, 4.0]]
    """

    def __init__(
        self,
        capacity: int,
        kv_heads: int,
        head_dim: int,
        *,
        value_dim: int | None = None,
        batch: int = 1,
        dtype: DTypeLike = "float32",
        layout: Layout = "BSHD",
        huge_pages: bool = False,
        ledger: list[Move] | None = None,
        place: int = 0,
    ) -> None:
        super().__init__(
            capacity=checked_int("capacity", capacity, least=1),
            kv_heads=checked_int("kv_heads", kv_heads, least=1),
            head_dim=checked_int("head_dim", head_dim, least=1),
            value_dim=checked_int(
                "value_dim", head_dim if value_dim is None else value_dim, least=1
            ),
            batch=checked_int("batch", batch, least=1),
            dtype=checked_dtype(dtype),
            layout=checked_layout(layout),
            huge_pages=checked_bool("huge_pages", huge_pages),
        )
        self.lock = Lock()
        self.readers = Readers(self.lock)
        self._alone = ledger is None
        self._ledger = [Move.at_rest(State(0, 0, 0, 0))] if ledger is None else ledger
        self._place = place
        self._sealed = True
        survives_fork(self)

    @property
    def state(self) -> LayerState:
        """Where the ring stands: after the last move carried out, not the last one tried.

        A move is published before its rows are copied, and the kernel that copies them writes the
        move's ticket last; so whatever interrupts the code in between, this tells what the slots
        hold. The ticket is read first: had another thread gone on meanwhile, the move that is read
        second still knows the state that was true then.
        """
        return self._standing()[1]

    def _standing(self) -> tuple[Move, LayerState]:
        """The current move, and the state: that before it or after it. Read as in `state`."""
        ticket = self._written[kernels.TICKET]
        move = self._ledger[self._place]
        return move, move.after if move.ticket == ticket else move.before

    @property
    def head(self) -> int:
        """Slot of the oldest row of the ring."""
        return self._alike("head").head

    @property
    def length(self) -> int:
        """Rows resident, in tokens."""
        return self._alike("length").length

    @property
    def segments(self) -> tuple[Pair, ...]:
        """The rows as one or two read-only ``(keys, values)`` pairs, oldest first, zero-copy.

        Raises
        ------
        KVRingError
            If the ring belongs to a cache, whose ``read`` knows which rows to show.
        """
        self._check_alone("cache.read(layer).segments")
        state = self._alike("segments")
        wrap = min(state.head + state.length, self.capacity)
        pieces = [slice(state.head, wrap), slice(0, state.head + state.length - wrap)]
        return tuple(self.piece(p) for p in pieces if p.stop > p.start) or (
            self.piece(slice(0, 0)),
        )

    def append(self, keys: NDArray[Any], values: NDArray[Any]) -> int:
        """Write rows behind the newest one, over the oldest ones where the ring is full.

        Parameters
        ----------
        keys, values : array ``(batch, tokens, kv_heads, dim)``, or in the ring's layout
            The new rows. Read-only and non-contiguous arrays are fine.

        Returns
        -------
        int, tokens
            Rows that gave way, those included that were too many to be kept at all.

        Raises
        ------
        DTypeError, ShapeError
            If K or V do not fit. Nothing is written.
        KVRingError
            If the ring belongs to a cache. Nothing is written.
        """
        self._check_alone("cache.update(layer, keys, values)")
        keys, values, count = self.checked(keys, values)
        with self.lock:
            move = plain_move(self._alike("append"), count, self.capacity)
            if count:
                self._write(move, keys, values)
        return move.evicted_count

    def clear(self) -> None:
        """Forget all rows, at no cost; a KVRingError if the ring belongs to a cache."""
        self._check_alone("cache.reset()")
        with self.lock:
            self._settle(Move.at_rest(State(0, 0, 0, self.state.epoch + 1)))

    def _try_write(
        self, move: Move, keys: NDArray[Any], values: NDArray[Any], view: Pair | None = None
    ) -> int:
        """Carry out `move`, unless the kernel refuses the arrays: then nothing has happened.

        The caller holds the lock, has checked that both arrays have four axes and the ring's
        dtype, and has a move for this ring's state. Publish, then copy: see `state`.
        """
        self._ledger[self._place] = move
        if isinstance(move, RaggedPlan):
            return self._put_apart(move, keys, values)
        if view is not None and isinstance(move, Plan):
            return self._put_assembled(move, keys, values, view)
        if move.count == 1:
            return self._put_row(
                self._block, keys, values, move.ticket, move.evicted_count, move.slot
            )
        return self._put_many(move, keys, values)

    def _put_many(self, move: Move, keys: NDArray[Any], values: NDArray[Any]) -> int:
        """The rows of a published move of any number of tokens."""
        if self._apart:
            return self._put_apart(move, keys, values)
        kernel = self._rows_kernel(move.count)
        return kernel(self._block, keys, values, move.ticket, move.evicted_count, move.slots)

    def _put_apart(self, move: Move, keys: NDArray[Any], values: NDArray[Any]) -> int:
        """The same where each batch row has slots of its own."""
        tokens, evicted = move.totals(self.batch)
        kernel = self._put_batch_rows
        if kernel is None or move.count > self._quiet_tokens:
            kernel = self._rows_kernel(move.count, "put_batch_rows")
            if move.count <= self._quiet_tokens:
                self._put_batch_rows = kernel
        return kernel(
            self._block,
            keys,
            values,
            move.ticket,
            evicted,
            move.slots,
            move.assembled_count,
            tokens,
        )

    def _write(
        self, move: Move, keys: NDArray[Any], values: NDArray[Any], view: Pair | None = None
    ) -> None:
        """Carry out `move` on checked arrays, whatever their strides and memory. Lock as above.

        Into `view` go the rows of a plan that is assembled.
        """
        code = self._try_write(move, keys, values, view)
        if code not in (kernels.DONE, kernels.NOT_ADMITTED):
            # A fresh copy has the strides a kernel wants and shares no memory with the storage.
            code = self._try_write(move, keys.copy(order="C"), values.copy(order="C"), view)
        if code == kernels.NOT_ADMITTED:
            raise NotAdmittedError(self._place, move)
        if code != kernels.DONE:
            raise KVRingError(f"a kernel refused arrays that had been checked: code {code}")

    def _settle(self, move: Move) -> None:
        """Move to the state of a move that writes no rows. The caller holds the lock."""
        self._ledger[self._place] = move

    def _locks(self) -> list[Lock]:
        return [self.lock]

    def _after_fork(self) -> None:
        lock = Lock()
        object.__setattr__(self, "lock", lock)
        self.readers.after_fork(lock)

    def _alike(self, name: str) -> State:
        """The state of all batch rows; ShapeError if they differ."""
        state = self.state
        if isinstance(state, RaggedState):
            raise ShapeError(f"{name}: batch rows differ; use cache.lengths and cache.slots(layer)")
        return state

    def _check_alone(self, way_out: str) -> None:
        if not self._alone:
            raise KVRingError(
                f"this ring belongs to a cache, which decides what it holds; use {way_out}"
            )

    def __repr__(self) -> str:
        return (
            f"<RingBuffer {self.row_shape} {self.dtype}, batch {self.batch}, {self.layout}:"
            f" {self.used()}>"
        )

    def used(self) -> str:
        """How full it is, for people."""
        states = states_of(self.state)
        return slots_used([of.length for of in states], [of.head for of in states], self.capacity)
