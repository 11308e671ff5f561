"""Storage: the slots of one layer, their bytes and the ways in and out of them.

Stored as ``(outer, slots, row)``: for layout "BSHD" outer is the batch and a row is kv_heads x
dim; for "BHSD" outer is batch x kv_heads and a row is dim. Which slot holds what is not known here.
"""

from __future__ import annotations

import weakref
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import compiling, kernels
from .checks import checked_arrays
from .memory import reserve
from .one_row import one_row_kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from .config import Layout
    from .plan import Plan
    from .rows import Run

__all__ = ["Pair", "Storage", "read_only"]

Pair: TypeAlias = "tuple[NDArray[Any], NDArray[Any]]"

# More than this is moved by a kernel's other form, which lets the interpreter go; about 5 us.
QUIET_BYTES = 1 << 16


class Storage:
    """K and V of one layer in preallocated slots. Every argument has been checked before.

    Parameters
    ----------
    capacity : int, tokens
    kv_heads, head_dim, value_dim, batch : int
        Axes of a row.
    dtype : numpy.dtype
    layout : {"BSHD", "BHSD"}
    huge_pages : bool
    """

    batch: int
    capacity: int
    keys_shown: NDArray[Any]
    values_shown: NDArray[Any]
    _keys: NDArray[Any]
    _values: NDArray[Any]
    _quiet_tokens: int
    _put_row: kernels.Kernel
    _put_batch_rows: kernels.Kernel | None
    _sealed = False
    _apart = False  # whether all moves say the slots of each batch row

    def __init__(
        self,
        *,
        capacity: int,
        kv_heads: int,
        head_dim: int,
        value_dim: int,
        batch: int,
        dtype: np.dtype[Any],
        layout: Layout,
        huge_pages: bool,
    ) -> None:
        self.kv_heads = kv_heads
        self.head_dim = head_dim
        self.value_dim = value_dim
        self.dtype = dtype
        self.layout = layout
        self._rows_gathered = 0
        self._huge_pages = huge_pages
        self.token_axis = layout.index("S")
        # One by one: once an object's __dict__ was touched, Python is slower at its attributes.
        reserved = self.reserved(batch, capacity)
        for name, value in self.attributes_for(*reserved, batch, capacity).items():
            setattr(self, name, value)
        # The block stays this one when memory moves: updates that wait for the lock know it.
        self._block = kernels.new_block(self._keys, self._values, self.token_axis)
        self._written = memoryview(
            self._block.data
        )  # read at a third of the price of a NumPy index

    def __setattr__(self, name: str, value: object) -> None:
        # Kernels trust these: a capacity changed from outside would be a write past the end.
        if self._sealed and not name.startswith("_"):
            raise AttributeError(f"{name} of a ring cannot be changed")
        super().__setattr__(name, value)

    def __reduce__(self) -> str:
        raise TypeError("a ring cannot be copied or pickled: its kernels know one place in memory")

    @property
    def row_nbytes(self) -> int:
        """Bytes of one token's K and V, all batch rows together."""
        return self.batch * self.batch_row_nbytes

    @property
    def batch_row_nbytes(self) -> int:
        """Bytes of one token's K and V in one batch row."""
        return self.kv_heads * (self.head_dim + self.value_dim) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes reserved for K and V."""
        return self.capacity * self.row_nbytes

    @property
    def row_shape(self) -> str:
        """A row's axes, for people: kv_heads x head_dim, and value_dim where it differs."""
        values = "" if self.value_dim == self.head_dim else f"/{self.value_dim}"
        return f"{self.kv_heads} x {self.head_dim}{values}"

    def counters(self) -> dict[str, int]:
        """Tokens taken, and rows written, evicted, assembled and gathered, since construction."""
        written = self._written
        return {
            "tokens_written": written[kernels.TOKENS],
            "rows_written": written[kernels.WRITTEN],
            "rows_evicted": written[kernels.EVICTED],
            "rows_assembled": written[kernels.ASSEMBLED],
            "rows_gathered": self._rows_gathered,
        }

    def checked(self, keys: object, values: object) -> tuple[NDArray[Any], NDArray[Any], int]:
        """K and V as plain arrays that fit, and how many tokens; DTypeError or ShapeError."""
        if type(keys) is np.ndarray is type(values) and keys.ndim == 4:
            count = keys.shape[self.token_axis]
            fit = keys.shape == self._shape(count, self.head_dim)
            fit = fit and values.shape == self._shape(count, self.value_dim)
            if fit and keys.dtype == self.dtype == values.dtype:
                return keys, values, count
        return checked_arrays(
            keys,
            values,
            dtype=self.dtype,
            layout=self.layout,
            batch=self.batch,
            kv_heads=self.kv_heads,
            dims=(self.head_dim, self.value_dim),
        )

    def reserved(self, batch: int, capacity: int) -> Pair:
        """K and V for so many batch rows and slots, empty; ConfigError if there is no memory."""
        pair = []
        for dim in (self.head_dim, self.value_dim):
            shape = self._shape(capacity, dim, batch)
            nbytes = prod(shape) * self.dtype.itemsize
            memory = reserve(nbytes, huge_pages=self._huge_pages)
            pair.append(memory.view(self.dtype).reshape(shape))
        return pair[0], pair[1]

    def attributes_for(
        self, keys: NDArray[Any], values: NDArray[Any], batch: int, capacity: int
    ) -> dict[str, Any]:
        """All that depends on where K and V are, by name."""
        return {
            "batch": batch,
            "capacity": capacity,
            "_keys": keys,
            "_values": values,
            # Marking each slice read-only would cost half a microsecond: these are it already.
            "keys_shown": read_only(keys),
            "values_shown": read_only(values),
            "_quiet_tokens": QUIET_BYTES // (batch * self.batch_row_nbytes),
            "_put_row": one_row_kernel(weakref.ref(self)),
            "_put_batch_rows": None,  # until it is needed
        }

    def index_in_batch_row(self, slots: slice) -> Any:
        """What picks neighbouring slots out of K or V of one batch row."""
        return self._tokens(slots)[1:]

    def index_of(self, slots: slice) -> Any:
        """What picks neighbouring slots out of K or V. All of them: in half the time of a slice."""
        if slots.start == 0 and slots.stop == self.capacity:
            return Ellipsis
        return self._tokens(slots)

    def without_first(self, skip: int, keys: NDArray[Any], values: NDArray[Any]) -> Pair:
        """The rows after the first `skip` ones, as slices of the same arrays."""
        rows = self._tokens(slice(skip, None))
        return keys[rows], values[rows]

    def piece(self, slots: slice) -> Pair:
        """K and V of neighbouring slots: read-only, zero-copy."""
        index = self.index_of(slots)
        return self.keys_shown[index], self.values_shown[index]

    def joined(self, slices: Iterable[slice]) -> Pair:
        """K and V of several pieces as one read-only pair of new arrays."""
        return self._concatenated([self.piece(rows) for rows in slices])

    def _concatenated(self, pieces: Sequence[Pair]) -> Pair:
        """What np.concatenate gives of K and of V, faster for large pieces."""
        joined = self.new_pair(sum(keys.shape[self.token_axis] for keys, _ in pieces))
        start = 0
        for piece in pieces:
            stop = start + piece[0].shape[self.token_axis]
            rows = self._tokens(slice(start, stop))
            for target, source in zip(joined, piece, strict=True):
                target[rows] = source
            start = stop
        return read_only(joined[0]), read_only(joined[1])

    def new_pair(self, tokens: int) -> Pair:
        """New arrays for K and V of so many tokens, with whatever was in that memory.

        Both are parts of one: memory of 4 MiB or more comes in huge pages, whose first writing
        costs a quarter.
        """
        shapes = self._shape(tokens, self.head_dim), self._shape(tokens, self.value_dim)
        both = np.empty(sum(map(prod, shapes)), self.dtype)
        middle = prod(shapes[0])
        return both[:middle].reshape(shapes[0]), both[middle:].reshape(shapes[1])

    def _put_assembled(
        self, plan: Plan, keys: NDArray[Any], values: NDArray[Any], view: Pair
    ) -> int:
        """The rows of a published plan, and all that its view shows into two new arrays."""
        return self._rows_kernel(plan.count, "put_assembled")(
            self._block,
            keys,
            values,
            plan.ticket,
            plan.evicted_count,
            plan.pieces,
            plan.assembled_count - plan.count,
            plan.count,
            *(array.ctypes.data for array in view),
        )

    def _take_from(self, other: Storage, stored: Sequence[Iterable[Run]]) -> None:
        """Copy runs of rows into the slots they have in `other`, whose shape is the same.

        `stored` has the runs of all batch rows alike, or of each.
        """
        for batch_row, runs in enumerate(stored):
            which = batch_row if len(stored) > 1 else slice(None)
            for run in runs:
                where = self._of(which, slice(run.slot, run.slot + run.rows))
                self._keys[where] = other._keys[where]
                self._values[where] = other._values[where]

    def _of(self, batch_row: int | slice, tokens: slice) -> tuple[int | slice, ...]:
        """What picks tokens of one batch row out of K or V, or of all of them."""
        return (batch_row, tokens) if self.token_axis == 1 else (batch_row, slice(None), tokens)

    def _tokens(self, tokens: slice) -> tuple[slice, ...]:
        """What picks tokens out of an array of any number of them."""
        return (slice(None),) * self.token_axis + (tokens,)

    def _shape(self, tokens: int, dim: int, batch: int | None = None) -> tuple[int, int, int, int]:
        rows = self.batch if batch is None else batch
        if self.token_axis == 1:
            return rows, tokens, self.kv_heads, dim
        return rows, self.kv_heads, tokens, dim

    def _rows_kernel(self, count: int, name: str = "put_rows") -> kernels.Kernel:
        """The kernel that moves `count` tokens.

        One for assembled views of any length, which releases the GIL: few of them are short, since
        a window comes along.
        """
        free = count > self._quiet_tokens or name == "put_assembled"
        return compiling.kernel(name, self.dtype.itemsize, releases_gil=free)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, as one that cannot be written to."""
    shown = array.view()
    shown.flags.writeable = False
    return shown
