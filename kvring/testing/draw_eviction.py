"""What is tried with eviction: policies, pins, touches, weights, rows dropped by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ..config import Append
from ..eviction import FIFO, LRU, HeavyHitter
from .steps import Evict, Observe, Pin, Step, Touch, Unpin
from .supports import Supports
from .truth import Truth

__all__ = ["FORGETTING_MOVES", "evicting_modes"]

_POLICIES: tuple[tuple[str, Any], ...] = (
    ("fifo", FIFO()),
    ("lru", LRU()),
    ("heavy_hitter", HeavyHitter(0)),
    ("heavy_hitter", HeavyHitter(2)),
)


def evicting_modes(
    supports: Supports, capacities: st.SearchStrategy[int]
) -> st.SearchStrategy[Append]:
    """Append mode with one of the policies that the backend has."""
    return st.builds(
        lambda slots, policy, kept: Append(slots, policy[1], min(kept, slots - 1)),
        capacities,
        st.sampled_from([policy for policy in _POLICIES if policy[0] in supports.evictions]),
        st.integers(0, supports.most_sink_tokens),
    )


def _forget(kind: type[Any]) -> Callable[[int, int, Truth], Step]:
    """Positions counted from the oldest resident one, or the number itself."""

    def step(number: int, other: int, truth: Truth) -> Step:
        layer = number % truth.setup.layers
        held = truth.contract.positions(layer)
        named = [number] if other == 3 or not held else held[number % len(held) :][: 1 + other % 2]
        if kind is Touch:
            return Touch(layer, tuple(named))
        return kind(tuple(named))  # type: ignore[no-any-return]

    return step


def _observe(number: int, other: int, truth: Truth) -> Step:
    weights = tuple((number * n + other) % 7 for n in range(1, 9))
    return Observe(number % truth.setup.layers, weights)


FORGETTING_MOVES: dict[str, Callable[[int, int, Truth], Step]] = {
    "pin": _forget(Pin),
    "unpin": _forget(Unpin),
    "evict": _forget(Evict),
    "touch": _forget(Touch),
    "observe": _observe,
}
