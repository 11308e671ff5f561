"""Trackers: what one layer remembers of its rows, and which of them give way.

One per layer. They are told of moves when these are entered (see
:mod:`kvring.policies.residents`), so that telling twice makes no difference; what `touch` and
`observe` change is changed by one assignment to an array, which nothing interrupts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from .plans import EvictingMove
from .residents import Origin, Residents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .weigh import Way

__all__ = ["Guard", "Observed", "Tracker", "lowest"]


class Guard:
    """Which rows may not go: sinks and pins. A new one for every change of either or of an epoch.

    Parameters
    ----------
    sink_tokens : int, tokens
    pins : frozenset of int, positions
    epoch : int
        Of the state for which it is made: what was worked out under another one is void.
    """

    __slots__ = ("epoch", "pins", "sink_tokens")

    def __init__(self, sink_tokens: int, pins: frozenset[int], epoch: int) -> None:
        self.sink_tokens = sink_tokens
        self.pins = pins
        self.epoch = epoch

    def passes(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these, -1 for none, are rows that may go."""
        free_to_go = positions >= self.sink_tokens
        if self.pins:
            free_to_go &= ~np.isin(positions, list(self.pins))
        return free_to_go


class Observed:
    """Attention weights of a view and what they come to, ready to be entered.

    Parameters
    ----------
    positions, slots : int64 array (batch, rows)
        Of each column; -1 where it is no row.
    weights : array (batch, query_heads, queries, rows)
        Of the dtype that was given.
    by_row : float64 array (batch, rows)
        Sum over query heads and queries, or the largest of them: what the tracker's `way` says.
    in_slots : bool
        Whether column = slot, and each is a row.
    """

    def __init__(
        self,
        positions: NDArray[np.int64],
        slots: NDArray[np.int64],
        weights: NDArray[Any],
        by_row: NDArray[np.float64],
        in_slots: bool,
    ) -> None:
        self.positions = positions
        self.slots = slots
        self.weights = weights
        self.by_row = by_row
        self.in_slots = in_slots


class Tracker(ABC):
    """What a layer knows of its rows. The caller holds the layer's lock."""

    way: Way = "largest"  # what it wants to know of each row's weights
    stamp = 0  # when rows written now are written

    def __init__(self, residents: Residents) -> None:
        self.residents = residents

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return 0

    def enter(self, move: EvictingMove) -> None:  # noqa: B027
        """Take note of a move that has been carried out, before its table is changed."""

    def touched(self, positions: NDArray[np.int64], slots: NDArray[np.int64]) -> None:  # noqa: B027
        """These rows were attended to; `slots` ``(batch, positions)``."""

    def observed(self, seen: Observed) -> None:  # noqa: B027
        """Weights came."""

    def first_victim(self, guard: Guard, seq_len: int) -> int:
        """The slot that gives way, of one batch row; there is one."""
        return int(self.victims(0, guard, 1, seq_len)[0])

    @abstractmethod
    def victims(self, batch_row: int, guard: Guard, count: int, seq_len: int) -> NDArray[np.int64]:
        """The slots that give way, int64 ``(count,)``. There are enough.

        Parameters
        ----------
        batch_row : int
        guard : Guard
        count : int, rows
        seq_len : int, tokens
            After the update for which they give way.
        """

    def take_from(self, other: Any) -> None:  # noqa: B027
        """Become a copy of the tracker of another cache's layer."""

    def remembered(self, batch_row: int, slots: NDArray[np.int64]) -> NDArray[Any]:
        """What it remembers of the rows in these slots, a number each; empty if it does not."""
        return np.empty(0)

    def remember(  # noqa: B027
        self, batch_row: int, slots: NDArray[np.int64], numbers: NDArray[Any]
    ) -> None:
        """Take over what another one remembered of the rows in these slots."""

    def told(self) -> tuple[bytes, ...]:
        """What policies of one's own say of themselves, one per batch row; none of these here."""
        return ()

    def tell(self, told: tuple[bytes, ...]) -> None:  # noqa: B027
        """Take over what was told."""

    def take_rows(self, origins: Sequence[Origin]) -> None:  # noqa: B027
        """Remember what other trackers do of the batch rows that came from them; see `Origin`."""

    def broken(self) -> str:
        """What is wrong with what it remembers; empty if nothing is."""
        return ""


def lowest(
    keys: NDArray[Any], positions: NDArray[np.int64], which: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """The indexes of the `count` lowest keys, or of as many as there are; the lowest first.

    Ties go to the lowest position. Only what is returned is sorted: where all rows are used in
    every step, all of them tie.

    Examples
    --------
    >>> keys, positions = np.array([5, 1, 3, 1]), np.array([8, 9, 2, 6])
    >>> lowest(keys, positions, positions > 2, 1)
    array([3])
    >>> lowest(keys, positions, positions > 2, 3)
    array([3, 1, 0])
    """
    indexes = np.flatnonzero(which)
    found = keys[indexes]
    if 0 < count < len(indexes):
        last = np.partition(found, count - 1)[count - 1]
        below, ties = indexes[found < last], indexes[found == last]
        still = count - len(below)
        if still < len(ties):
            ties = ties[np.argpartition(positions[ties], still - 1)[:still]]
        indexes = np.concatenate([below, ties])
    return indexes[np.lexsort((positions[indexes], keys[indexes]))][:count]
