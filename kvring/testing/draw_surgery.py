"""Which operations on batch rows are tried, and which other numbers of slots."""

from __future__ import annotations

from collections.abc import Callable

from ..config import Circular
from .steps import AddBatchRows, Reorder, Repeat, Resize, Select, Step
from .truth import Truth

__all__ = ["SURGERY_MOVES", "width"]

MOST_BATCH_ROWS = 6


def width(truth: Truth) -> int:
    """What a chunk is measured by: the window, or the capacity."""
    mode = truth.setup.strategy
    return mode.window if isinstance(mode, Circular) else mode.capacity


def _reorder(number: int, other: int, truth: Truth) -> Step | None:
    rows = tuple((row * (other + 1) + number) % truth.batch for row in range(truth.batch))
    return Reorder(rows) if truth.batch > 1 else None


def _select(number: int, other: int, truth: Truth) -> Step | None:
    rows = [row for row in range(truth.batch) if (number >> row) & 1] or [number % truth.batch]
    return Select(tuple(rows[::-1] if other == 3 else rows)) if truth.batch > 1 else None


def _repeat(number: int, other: int, truth: Truth) -> Step | None:
    times = 2 + number % 2
    return Repeat(times) if truth.batch * times <= MOST_BATCH_ROWS else None


def _add(number: int, other: int, truth: Truth) -> Step | None:
    """Another cache, which may well be empty."""
    tokens = number % (width(truth) + 2)
    if truth.resized:  # the other one would need the same numbers
        return None
    if truth.batch >= MOST_BATCH_ROWS or not truth.has_tags_for(tokens, None):
        return None
    if not isinstance(truth.setup.strategy, Circular):
        tokens = min(tokens, truth.setup.capacity)
    if not truth.supports.ragged:  # then all batch rows count the same tokens
        tokens = truth.seq_lens(0)[0]
    if tokens > (truth.supports.most_chunk or tokens):  # they come in one update
        return None
    return AddBatchRows(min(1 + other % 2, MOST_BATCH_ROWS - truth.batch), tokens)


def _resize(number: int, other: int, truth: Truth) -> Step | None:
    """A little more, a little less, the same; of one layer's mode, and so of all like it."""
    mode, supports = truth.setup.strategies[other % truth.setup.layers], truth.supports
    if not isinstance(mode, Circular):
        return Resize(capacity=1 + number)
    if supports.eviction != "exact":
        return None  # what older rows it may show then is not said
    rollback_tokens = number % (supports.most_rollback_tokens + 1)
    if other < 2:
        return Resize(rollback_tokens=rollback_tokens)
    least, most = supports.windows
    window = min(max(mode.window + (-1, 1, -2, 2, 0)[number % 5], least), most)
    return Resize(window=window, rollback_tokens=rollback_tokens if other == 3 else None)


SURGERY_MOVES: dict[str, Callable[[int, int, Truth], Step | None]] = {
    "reorder": _reorder,
    "select": _select,
    "repeat": _repeat,
    "add": _add,
    "resize": _resize,
}
