"""Circular mode: a sliding window over a ring, sinks in front of it, rollback rows in it.

Position p sits in slot p while p < S, and else in slot ``S + (p - S) mod (W + R)``. With window
W = 4, sink_tokens S = 1 and rollback_tokens R = 2, after 12 tokens::

    slot         0    1    2    3    4    5    6
    position     0    7    8    9   10   11    6     head = slot 6, where position 12 will go
    visible(11)  0         8    9   10   11

Positions 6 and 7 are behind the window; they are what ``truncate(10)`` falls back on.
"""

from __future__ import annotations

from ..config import Circular
from ..rows import State
from .base import Strategy

__all__ = ["CircularStrategy"]


class CircularStrategy(Strategy):
    """Law 3 of the contract."""

    window: int

    def __init__(self, mode: Circular) -> None:
        self.capacity = mode.capacity
        self.window = mode.window
        self.sink_tokens = mode.sink_tokens
        self.rollback_tokens = mode.rollback_tokens
        self.ring_slots = mode.window + mode.rollback_tokens

    def slot(self, position: int) -> int:
        if position < self.sink_tokens:
            return position
        return self.sink_tokens + (position - self.sink_tokens) % self.ring_slots

    def advance(self, state: State, count: int) -> State:
        seq_len = state.seq_len + count
        length = min(state.length + count, self.capacity)
        head = self.sink_tokens
        if seq_len > self.sink_tokens:
            head += (seq_len - length) % self.ring_slots
        return State(seq_len, length, head, state.epoch)

    def seen_from(self, position: int) -> int:
        return max(position - self.window + 1, self.sink_tokens)

    def adopted(self, state: State, epoch: int) -> State:
        seq_len = state.seq_len
        first = max(self.first(state), seq_len - self.ring_slots)
        behind_sinks = max(seq_len - first, 0)
        head = self.slot(first) if behind_sinks else self.sink_tokens
        return State(seq_len, min(seq_len, self.sink_tokens) + behind_sinks, head, epoch)

    def room(self, state: State) -> None:
        return None

    def _refusal(self, state: State, seq_len: int, missing: int) -> str:
        enough = self.first(state) + self.ring_slots - missing - self.window
        return (
            f"cannot truncate to {seq_len}: position {missing} is gone (window {self.window},"
            f" rollback_tokens {self.rollback_tokens}); use rollback_tokens >= {enough} or reset"
            f" and refill"
        )
