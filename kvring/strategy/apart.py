"""Plans for batch rows that go apart, made of what a strategy says of each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import CapacityError, EvictedError
from ..ragged import RaggedPlan, TokenCounts
from ..rows import LayerState, State, joined_state, per_batch_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .base import Strategy

__all__ = ["advanced", "look_apart", "plan_apart", "truncated"]


def plan_apart(strategy: Strategy, state: LayerState, given: TokenCounts) -> RaggedPlan:
    """The step that brings each batch row its own tokens; CapacityError if they do not fit one."""
    befores = per_batch_row(state, len(given.of_batch_rows))
    afters = advanced(strategy, befores, given)
    evicted_counts, assembled = [], False
    for before, after, count in zip(befores, afters, given.of_batch_rows, strict=True):
        evicted_counts.append(0 if strategy.replaces else before.length + count - after.length)
        if count > 1 and strategy.seen_from(after.seq_len - count) < strategy.first(after):
            assembled = True
    slots = _slots(strategy, afters, given)
    return RaggedPlan(strategy, state, afters, given, slots, evicted_counts, assembled)


def look_apart(strategy: Strategy, state: LayerState, given: TokenCounts) -> RaggedPlan:
    """A plan of no tokens: `state` as the newest tokens of each batch row see it."""
    afters = per_batch_row(state, len(given.of_batch_rows))
    none = [0] * len(afters)
    slots = np.empty((len(afters), 0), dtype=np.int64)
    return RaggedPlan(strategy, state, afters, given, slots, none)


def advanced(strategy: Strategy, befores: Sequence[State], given: TokenCounts) -> tuple[State, ...]:
    """The state of each batch row after its tokens; CapacityError names the one without room."""
    afters = []
    for batch_row, (before, count) in enumerate(zip(befores, given.of_batch_rows, strict=True)):
        try:
            after = before
            if count or strategy.replaces:
                after = strategy.advance(before, count)
        except CapacityError as error:
            raise CapacityError(f"batch row {batch_row}: {error}") from None
        afters.append(after)
    return tuple(afters)


def truncated(
    strategy: Strategy, state: LayerState, seq_lens: Sequence[int], epoch: int
) -> LayerState:
    """The state of a layer in which only so many tokens are left of each batch row.

    Raises
    ------
    EvictedError
        If one of them would miss a position of its window; where they differ it is named.
    """
    if isinstance(state, State) and len(set(seq_lens)) == 1:
        return strategy.truncate(state, seq_lens[0], epoch)
    left = []
    for batch_row, one in enumerate(per_batch_row(state, len(seq_lens))):
        try:
            left.append(strategy.truncate(one, seq_lens[batch_row], epoch))
        except EvictedError as error:
            raise EvictedError(f"batch row {batch_row}: {error}") from None
    return joined_state(left)


def _slots(strategy: Strategy, afters: Sequence[State], given: TokenCounts) -> NDArray[np.int64]:
    """Slot of each new row, int64 ``(batch, tokens)``; -1 for padding and what does not stay."""
    counts = given.of_batch_rows
    if given.width == 1:  # a decode loop's case
        both = zip(afters, counts, strict=True)
        found = [[strategy.slot(after.seq_len - 1) if count else -1] for after, count in both]
        return np.array(found, dtype=np.int64)
    slots = np.full((len(counts), given.width), -1, dtype=np.int64)
    for batch_row, (after, count) in enumerate(zip(afters, counts, strict=True)):
        first = after.seq_len - count
        row = slots[batch_row, given.real(batch_row)]
        for position, slot, rows in strategy.survivors(after, count) if count else ():
            row[position - first :][:rows] = np.arange(slot, slot + rows)
    return slots
