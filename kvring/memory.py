"""Where the bytes live: anonymous mappings, committed page by page as rows are written.

``numpy.zeros`` would do, were it not for transparent huge pages: NumPy asks for them, and then a
single row commits two megabytes in every plane it touches.
"""

from __future__ import annotations

import mmap
import platform
import sys
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError

__all__ = [
    "GIVES_BACK",
    "HUGE_PAGE_BYTES",
    "PAGE_BYTES",
    "ask_for_huge_pages",
    "give_back",
    "mapping_of",
    "reserve",
]

PAGE_BYTES = mmap.PAGESIZE
# Only Linux takes pages of private memory away at once; elsewhere the advice may be forgotten.
GIVES_BACK = sys.platform == "linux" and hasattr(mmap, "MADV_DONTNEED")

HUGE_PAGE_BYTES = 1 << 21
# Address space is reserved, not memory. Python knows the flag since 3.13; its value on Linux is
# the same on every processor that Numba runs on but POWER.
_LINUX_FLAG = 0x4000 if sys.platform == "linux" and platform.machine() != "ppc64le" else 0
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", _LINUX_FLAG)


def reserve(nbytes: int, *, huge_pages: bool = False) -> NDArray[np.uint8]:
    """`nbytes` of zeros that take no memory before they are written.

    Parameters
    ----------
    nbytes : int, bytes
        How much to reserve, at least 1.
    huge_pages : bool, optional
        Ask for pages of 2 MiB: faster to fill, and committed 2 MiB at a time.

    Returns
    -------
    uint8 array (nbytes,)
        Private to this process (a forked child gets a copy of its own). Given back to the system
        when the last array on it is gone.

    Raises
    ------
    ConfigError
        If the system cannot reserve that much.
    """
    try:
        return np.frombuffer(_mapping(nbytes, huge_pages), dtype=np.uint8)
    except (OSError, OverflowError, ValueError) as error:
        raise ConfigError(
            f"cannot reserve {nbytes:,} bytes: {error}; use a smaller capacity"
        ) from None


def ask_for_huge_pages(array: NDArray[Any]) -> None:
    """Have what `reserve` returned take pages of 2 MiB from now on, where none is taken yet."""
    memory: Any = array
    while not isinstance(memory, mmap.mmap):
        memory = memory.obj if isinstance(memory, memoryview) else memory.base
    _advise(memory, "MADV_HUGEPAGE")


def _mapping(nbytes: int, huge_pages: bool) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows: private by itself, and no huge pages unasked
        return mmap.mmap(-1, nbytes)
    # Without MAP_PRIVATE an anonymous mapping is shared with every forked child.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    mapping = mmap.mmap(-1, nbytes, flags=flags)
    _advise(mapping, "MADV_HUGEPAGE" if huge_pages else "MADV_NOHUGEPAGE")
    return mapping


def _advise(mapping: mmap.mmap, name: str) -> None:
    advice = getattr(mmap, name, None)
    if advice is not None:
        # A system without huge pages refuses: what was asked for holds already, or never can.
        with suppress(OSError):
            mapping.madvise(advice)


def mapping_of(array: NDArray[Any]) -> mmap.mmap:
    """The mapping that an array of `reserve`, or a view of one, lies in."""
    owner: Any = array
    while not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else owner.base
    return owner


def give_back(mapping: mmap.mmap, start: int, stop: int) -> None:
    """Give whole pages back to the system at once; what is read there afterwards is zeros.

    Parameters
    ----------
    mapping : mmap
        Of `mapping_of`.
    start, stop : int, bytes
        Multiples of `PAGE_BYTES`; `stop` may lie behind the end of the mapping.
    """
    stop = min(stop, len(mapping))
    if start < stop:
        mapping.madvise(mmap.MADV_DONTNEED, start, stop - start)
