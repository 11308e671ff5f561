"""Where the bytes live: anonymous mappings, committed page by page as rows are written.

``numpy.zeros`` would do, were it not for transparent huge pages: NumPy asks for them, and then a
single row commits two megabytes in every plane it touches.
"""

from __future__ import annotations

import mmap
import platform
import sys
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError

__all__ = ["reserve"]

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


def _mapping(nbytes: int, huge_pages: bool) -> mmap.mmap:
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows: private by itself, and no huge pages unasked
        return mmap.mmap(-1, nbytes)
    # Without MAP_PRIVATE an anonymous mapping is shared with every forked child.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    mapping = mmap.mmap(-1, nbytes, flags=flags)
    advice = getattr(mmap, "MADV_HUGEPAGE" if huge_pages else "MADV_NOHUGEPAGE", None)
    if advice is not None:
        # A system without huge pages refuses: what was asked for holds already, or never can.
        with suppress(OSError):
            mapping.madvise(advice)
    return mapping
