"""Which pages rows commit: integers only.

Memory is committed in whole pages, by the first byte written to each. Rows of a layer lie in
*planes*, stretches of memory that grow from their first slot on: one for each batch row, and in
layout BHSD for each of its heads. Neighbouring planes may share a page. Pages of 4,096 bytes, two
planes of 10,000 bytes each, rows of 100::

    page     0         1         2         3         4
    plane 0  [0 ... 40|41 ...  81|82 .. 99]
    plane 1                       [0 .. 21|22 ..   62|63 .. 99]

The first row of both commits pages 0 and 2; slots 0 to 21 commit no more than these, and the row of
slot 22 in plane 1 takes page 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..memory import PAGE_BYTES

__all__ = ["Planes"]


@dataclass(frozen=True)
class Planes:
    """The planes of K or of V of one layer, in a mapping that begins with a page.

    Parameters
    ----------
    planes : int
        How many there are.
    slots : int
        Rows of a plane.
    row_nbytes : int, bytes
        Of a row in one plane.
    page_nbytes : int, bytes
        Of a page.

    Notes
    -----
    Cost: a few us, or a pass over the planes where there is more than one.

    Examples
    --------
    >>> both = Planes(planes=2, slots=100, row_nbytes=100, page_nbytes=4096)
    >>> [both.page_count(slots) for slots in (0, 1, 22, 23, 100)]
    [0, 2, 2, 3, 5]
    >>> both.slots_within_pages_of(1)
    22
    >>> list(both.stretches_behind(1))
    [(1, 2), (3, 5)]
    """

    planes: int
    slots: int
    row_nbytes: int
    page_nbytes: int = PAGE_BYTES

    def page_count(self, slots: int) -> int:
        """Pages that hold the first `slots` rows of every plane."""
        if slots == 0:
            return 0
        if self.planes == 1:
            return -(-slots * self.row_nbytes // self.page_nbytes)
        first, stop = self._pages(slots)
        # A page that the plane before has taken already is not taken again.
        fresh = np.maximum(first[1:], stop[:-1])
        return int(stop[0] - first[0] + np.maximum(stop[1:] - fresh, 0).sum())

    def slots_within_pages_of(self, slots: int) -> int:
        """How many rows of every plane fit in the pages that the first `slots` have anyway."""
        if slots == 0:
            return 0
        start = np.arange(self.planes, dtype=np.int64) * (self.slots * self.row_nbytes)
        _, stop = self._pages(slots)
        fitting = int(((stop * self.page_nbytes - start) // self.row_nbytes).min())
        return min(fitting, self.slots)

    def stretches_behind(self, slots: int) -> Iterator[tuple[int, int]]:
        """Runs ``(first, stop)`` of pages that hold none of the first `slots` rows."""
        last = -(-self.planes * self.slots * self.row_nbytes // self.page_nbytes)
        free = 0
        if slots:
            for first, stop in zip(*(pages.tolist() for pages in self._pages(slots)), strict=True):
                if free < first:
                    yield free, first
                free = stop
        if free < last:
            yield free, last

    def _pages(self, slots: int) -> tuple[np.ndarray, np.ndarray]:
        """The first page of each plane, and the one behind its `slots` rows."""
        start = np.arange(self.planes, dtype=np.int64) * (self.slots * self.row_nbytes)
        stop = start + slots * self.row_nbytes
        return start // self.page_nbytes, -(-stop // self.page_nbytes)
