"""Replace mode: every update replaces the whole content, and positions start again at 0.

capacity 4, an update of three tokens, then one of two::

    slot        0 1 2 3        0 1 2 3
    position    0 1 2 .   ->   0 1 . .
"""

from __future__ import annotations

from ..config import Replace
from ..errors import CapacityError
from ..rows import State
from .base import Strategy

__all__ = ["ReplaceStrategy"]


class ReplaceStrategy(Strategy):
    """Law 4 of the contract."""

    replaces = True

    def __init__(self, mode: Replace) -> None:
        self.capacity = mode.capacity

    def slot(self, position: int) -> int:
        return position

    def advance(self, state: State, count: int) -> State:
        if count > self.capacity:
            raise CapacityError(
                f"cannot hold {count} rows: the capacity is {self.capacity}; bring fewer rows or"
                f" use a larger capacity"
            )
        # Positions are taken back by every update, hence the epoch.
        return State(count, count, 0, state.epoch + 1)

    def seen_from(self, position: int) -> int:
        return 0

    def room(self, state: State) -> int:
        return self.capacity
