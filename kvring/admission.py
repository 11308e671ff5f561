"""How a ring says that it may not write some slots yet: see :mod:`kvring.pool.pooled`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .plan import Move

__all__ = ["NotAdmittedError", "NotReservedError", "Wanted"]


class Wanted(NamedTuple):
    """Slots that a layer needs, from the first one on, for so many rows to be written."""

    layer: int
    slots: int
    row_count: int


class NotAdmittedError(Exception):
    """A move would write slots that may not be written yet; nothing has happened.

    Raised in the caches of a pool alone, which have the slots admitted and try again.
    """

    def __init__(self, layer: int, move: Move) -> None:
        super().__init__()
        written = (move.slots >= 0).sum(axis=-1)
        self.wanted = Wanted(layer, int(move.slots.max()) + 1, int(written.max()))


class NotReservedError(Exception):
    """Rows would move to new memory that is not admitted yet; nothing has happened."""

    def __init__(self, nbytes: int) -> None:
        super().__init__()
        self.nbytes = nbytes
