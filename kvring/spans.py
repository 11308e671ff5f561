"""Spans: rows in any order as the stretches that attention reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Asked", "Spans", "spans_of"]

# Stretches of rows for attention: one array for all batch rows alike, or one for each.
Spans: TypeAlias = "tuple[NDArray[np.int64], ...]"


class Asked(NamedTuple):
    """Which of the tokens of a call are queries: the others are padding.

    Parameters
    ----------
    position : int
        Of the first query.
    first_token, stop_token : int
        Where the queries stand on the token axis.
    """

    position: int
    first_token: int
    stop_token: int


def spans_of(positions: NDArray[np.int64], window: int, sink_tokens: int) -> NDArray[np.int64]:
    """Rows in any order as stretches for attention, int64 ``(spans, 5)``: see `Rows.spans`.

    Parameters
    ----------
    positions : int64 array (rows,)
        Position of each row; -1 for a row that nobody may look at.
    window : int, tokens
        How far back a query sees, its own position included; 0 for all.
    sink_tokens : int, tokens
        First positions, which every query after them sees.

    Examples
    --------
    >>> spans_of(np.array([0, 7, 8, -1, 6]), window=3, sink_tokens=1).tolist()
    [[0, 0, 1, 0, 0], [1, 7, 2, 1, 3], [4, 6, 1, 4, 3]]
    """
    live = positions >= 0
    goes_on = live[1:] & live[:-1] & (np.diff(positions) == 1) & (positions[1:] != sink_tokens)
    starts = np.flatnonzero(live & ~np.concatenate(([False], goes_on)))
    stops = np.flatnonzero(live & ~np.concatenate((goes_on, [False]))) + 1
    first = positions[starts]
    windows = np.where(first < sink_tokens, 0, window)
    spans: NDArray[np.int64] = np.stack([starts, first, stops - starts, starts, windows], axis=1)
    return spans
