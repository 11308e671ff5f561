"""Append mode: every position stays resident, and slot = position.

capacity 4, three tokens, then one more:

slot        0 1 2 3        0 1 2 3
position    0 1 2 .   ->   0 1 2 3        a fifth token: CapacityError
"""

from __future__ import annotations

from ..config import Append
from ..errors import CapacityError
from ..rows import State
from .base import Strategy

__all__ = ["AppendStrategy"]


class AppendStrategy(Strategy):
    """Law 2 of the contract without an eviction policy."""

    def __init__(self, mode: Append) -> None:
        self.capacity = mode.capacity

    def slot(self, position: int) -> int:
        return position

    def advance(self, state: State, count: int) -> State:
        seq_len = state.seq_len + count
        if seq_len > self.capacity:
            raise CapacityError(
                f"cannot append {count} tokens: {state.length} of capacity {self.capacity} are"
                f" taken, {self.capacity - state.length} free; truncate, reset, or use a larger"
                f" capacity or Circular"
            )
        return State(seq_len, seq_len, 0, state.epoch)

    def seen_from(self, position: int) -> int:
        return 0

    def room(self, state: State) -> int:
        return self.capacity - state.length
