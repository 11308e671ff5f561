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
    shown: list[Run] = []  # the same runs, by the indices that their rows have in the view
    for run in old:
        shown.append(run._replace(position=sum(before.rows for before in shown)))
    brought = sorted(run._replace(position=run.position - first) for run in new)
    edges = sorted({edge for run in (*old, *new) for edge in (run.slot, run.slot + run.rows)})
    pieces = [
        (_row_in(slot, shown), slot, stop - slot, _row_in(slot, brought))
        for slot, stop in pairwise(edges)
    ]
    used = [piece for piece in pieces if piece[0] >= 0 or piece[3] >= 0]
    token = 0
    for run in brought:
        used.append((-1, -1, run.position - token, token))
        token = run.position + run.rows
    used.append((-1, -1, count - token, token))
    return np.array([piece for piece in used if piece[2]], dtype=np.int64)


def _row_in(slot: int, runs: Sequence[Run]) -> int:
    """The position of the row in `slot`, or -1 if it is in none of `runs`."""
    for run in runs:
        if run.slot <= slot < run.slot + run.rows:
            return run.position + slot - run.slot
    return -1
