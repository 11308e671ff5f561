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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from .config import Layout
    from .plan import Plan
from .rows import Run

__all__ = ["Pair", "Storage", "read_only"]

Pair: TypeAlias = "tuple[NDArray[Any], NDArray[Any]]"

# The most a kernel moves while it keeps the interpreter to itself; it takes about 5 us.
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

    _sealed = False

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
        self.capacity = capacity
        self.kv_heads = kv_heads
        self.head_dim = head_dim
        self.value_dim = value_dim
        self.batch = batch
        self.dtype = dtype
        self.layout = layout
        self._rows_gathered = 0
        self.token_axis = layout.index("S")
        self._keys = self._reserved(head_dim, huge_pages)
        self._values = self._reserved(value_dim, huge_pages)
        # Marking each slice read-only would cost half a microsecond: slices of these are already.
        self.keys_shown, self.values_shown = read_only(self._keys), read_only(self._values)
        self._block = kernels.new_block(self._keys, self._values, self.token_axis)
        self._written = memoryview(
            self._block.data
        )  # read at a third of the price of a NumPy index
        self._quiet_tokens = QUIET_BYTES // self.row_nbytes
        self._put_row = _loading(weakref.ref(self))

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
        return self.batch * self.kv_heads * (self.head_dim + self.value_dim) * self.dtype.itemsize

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
        keys, values = zip(*map(self.piece, slices), strict=True)
        return self._concatenated(keys), self._concatenated(values)

    def assembled(self, plan: Plan, keys: NDArray[Any], values: NDArray[Any]) -> Pair:
        """The rows that the plan's queries need, old ones and new, as one read-only pair.

        To be called before the plan is carried out, which overwrites some of them.
        """
        old = [self.piece(slice(run.slot, run.slot + run.rows)) for run in plan.kept]
        return (
            self._concatenated([*(k for k, _ in old), keys]),
            self._concatenated([*(v for _, v in old), values]),
        )

    def _concatenated(self, pieces: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """What np.concatenate gives, a tenth faster for the large pieces of a chunk."""
        tokens = sum(piece.shape[self.token_axis] for piece in pieces)
        joined = np.empty(self._shape(tokens, pieces[0].shape[3]), self.dtype)
        start = 0
        for piece in pieces:
            stop = start + piece.shape[self.token_axis]
            joined[self._tokens(slice(start, stop))] = piece
            start = stop
        return read_only(joined)

    def _take_from(self, other: Storage, runs: Iterable[Run]) -> None:
        """Copy runs of rows into the slots they have in `other`, whose shape is the same."""
        for run in runs:
            where = self.index_of(slice(run.slot, run.slot + run.rows))
            self._keys[where] = other._keys[where]
            self._values[where] = other._values[where]

    def _tokens(self, tokens: slice) -> tuple[slice, ...]:
        """What picks tokens out of an array of any number of them."""
        return (slice(None),) * self.token_axis + (tokens,)

    def _shape(self, tokens: int, dim: int) -> tuple[int, int, int, int]:
        if self.token_axis == 1:
            return self.batch, tokens, self.kv_heads, dim
        return self.batch, self.kv_heads, tokens, dim

    def _reserved(self, dim: int, huge_pages: bool) -> NDArray[Any]:
        shape = self._shape(self.capacity, dim)
        nbytes = prod(shape) * self.dtype.itemsize
        return reserve(nbytes, huge_pages=huge_pages).view(self.dtype).reshape(shape)

    def _rows_kernel(self, count: int) -> kernels.Kernel:
        return compiling.kernel(
            "put_rows", self.dtype.itemsize, releases_gil=count > self._quiet_tokens
        )


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, as one that cannot be written to."""
    shown = array.view()
    shown.flags.writeable = False
    return shown


def _loading(storage: weakref.ref[Storage]) -> kernels.Kernel:
    """Stands in for the one-token kernel until it is first needed, so that it loads then.

    Holds its owner weakly: an attribute that holds its object keeps the memory of a dropped cache
    until some later collection of garbage.
    """

    def put_row(*args: Any) -> int:
        owner = storage()
        assert owner is not None, "called through its owner"
        if owner._quiet_tokens:
            loaded = compiling.kernel("put_row", owner.dtype.itemsize)
        else:
            loaded = _for_one_row(owner._rows_kernel(1))
        owner._put_row = loaded
        return loaded(*args)

    return put_row


def _for_one_row(put_rows: kernels.Kernel) -> kernels.Kernel:
    """One token of a batch so wide that other threads had better run meanwhile."""

    def put_row(*args: Any) -> int:
        *common, slot = args
        return put_rows(*common, np.array([slot], dtype=np.int64), 0)

    return put_row
