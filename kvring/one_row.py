"""The kernel of one token: which of them a layer needs, found out when it is first needed."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from . import compiling, kernels

if TYPE_CHECKING:
    from .storage import Storage

__all__ = ["one_row_kernel"]


def one_row_kernel(storage: weakref.ref[Storage]) -> kernels.Kernel:
    """Stands in for the one-token kernel until it is first needed, so that it loads then.

    Holds its owner weakly: an attribute that holds its object keeps the memory of a dropped cache
    until some later collection of garbage.
    """

    def put_row(*args: Any) -> int:
        owner = storage()
        assert owner is not None, "called through its owner"
        if owner._apart:
            loaded = _for_one_row_apart(owner._rows_kernel(1, "put_batch_rows"))
        elif owner._quiet_tokens:
            loaded = compiling.kernel("put_row", owner.dtype.itemsize)
        else:
            loaded = _for_one_row(owner._rows_kernel(1))
        owner._put_row = loaded
        return loaded(*args)

    return put_row


def _for_one_row_apart(put_batch_rows: kernels.Kernel) -> kernels.Kernel:
    """One token, whose slots are an array ``(batch, 1)``."""

    def put_row(*args: Any) -> int:
        *common, evicted, slots = args
        return put_batch_rows(*common, evicted * len(slots), slots, 0, len(slots))

    return put_row


def _for_one_row(put_rows: kernels.Kernel) -> kernels.Kernel:
    """One token of a batch so wide that other threads had better run meanwhile."""

    def put_row(*args: Any) -> int:
        *common, slot = args
        return put_rows(*common, np.array([slot], dtype=np.int64))

    return put_row
