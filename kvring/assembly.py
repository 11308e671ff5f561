"""What an assembled view is made of, and what becomes of the slots it is taken from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .rows import Run

__all__ = ["pieces_of"]


def pieces_of(old: Sequence[Run], new: Sequence[Run], first: int, count: int) -> NDArray[np.int64]:
    """Stretches of slots in which the same happens to every row, int64 ``(pieces, 4)``.

    Parameters
    ----------
    old : sequence of Run
        The old rows that the view shows before the new ones, in its order.
    new : sequence of Run
        The new rows that get a slot.
    first, count : int, position and tokens
        All new rows: the view shows those without a slot, too.

    Returns
    -------
    int64 array
        Per piece: index in the view of the first old row that stands in its slots, or -1; first
        slot, or -1 where new rows get none; rows; first of the new rows, or -1 where none comes.

    Examples
    --------
    A ring of three slots holds rows 1, 2, 3 and gets 4, 5, 6, whose view shows 2 to 6:

    >>> from kvring.rows import Run
    >>> pieces_of([Run(2, 2, 1), Run(3, 0, 1)], [Run(4, 1, 2), Run(6, 0, 1)], 4, 3).tolist()
    [[1, 0, 1, 2], [-1, 1, 1, 0], [0, 2, 1, 1]]
    """
    pieces = []
    edges = {edge for run in (*old, *new) for edge in (run.slot, run.slot + run.rows)}
    for slot, stop in pairwise(sorted(edges)):
        shown, token = _index_of(slot, old), -1
        for run in new:
            if run.slot <= slot < run.slot + run.rows:
                token = run.position - first + slot - run.slot
        if shown >= 0 or token >= 0:
            pieces.append((shown, slot, stop - slot, token))
    token = 0
    for run in sorted(new):
        pieces.append((-1, -1, run.position - first - token, token))
        token = run.position - first + run.rows
    pieces.append((-1, -1, count - token, token))
    return np.array([piece for piece in pieces if piece[2]], dtype=np.int64)


def _index_of(slot: int, runs: Sequence[Run]) -> int:
    """The index of the row in `slot` among those of `runs`, one run behind the other, or -1."""
    before = 0
    for run in runs:
        if run.slot <= slot < run.slot + run.rows:
            return before + slot - run.slot
        before += run.rows
    return -1
