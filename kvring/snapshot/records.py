"""What a file says of each layer besides K and V: states, positions, what a policy remembers.

A record is plain arrays, one entry per batch row, taken at one moment; a layer is made again from
its record alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import SnapshotError
from ..eviction import LRU, HeavyHitter
from ..policies.plans import Rest
from ..rows import State, joined_state, per_batch_row
from ..strategy import EvictingStrategy, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cache.whole import WholeCache
    from ..config import Mode
    from ..plan import Move
    from ..rows import LayerState

__all__ = [
    "LayerRecord",
    "Remembered",
    "Runs",
    "positions_in",
    "recorded",
    "remembered_as",
    "restore",
    "runs_in",
    "runs_of",
]

# Neighbouring slots, as (first slot, rows), in the order in which a file has the rows.
Runs = Sequence[tuple[int, int]]


class Remembered(NamedTuple):
    """What a layer with eviction knows besides its state.

    Parameters
    ----------
    slots : tuple of int64 array (rows,)
        The slots of each batch row's rows, ascending.
    pins : tuple of int64 array (pins,), positions
        Of each batch row, ascending.
    clock : int
        Of the policy, where it has one.
    of_rows : tuple of array (rows,)
        Of each batch row, one number for each row; empty arrays if the policy counts nothing.
    policies : tuple of bytes
        What policies of one's own say of themselves, one per batch row; or none.
    """

    slots: tuple[NDArray[np.int64], ...]
    pins: tuple[NDArray[np.int64], ...]
    clock: int
    of_rows: tuple[NDArray[Any], ...]
    policies: tuple[bytes, ...]


class LayerRecord(NamedTuple):
    """One layer at one moment.

    Parameters
    ----------
    states : tuple of State
        One per batch row.
    positions : tuple of int64 array (rows,)
        One per batch row, in the order in which the file has the rows.
    runs : tuple of Runs
        Where these rows sit; one for all batch rows alike, or one per batch row.
    remembered : Remembered, optional
        With eviction.
    """

    states: tuple[State, ...]
    positions: tuple[NDArray[np.int64], ...]
    runs: tuple[Runs, ...]
    remembered: Remembered | None = None


def recorded(cache: WholeCache) -> list[LayerRecord]:
    """The record of every layer. The caller holds all locks."""
    known: dict[tuple[int, LayerState], LayerRecord] = {}
    records = []
    for number, (strategy, state) in enumerate(
        zip(cache._strategies, cache._states(), strict=True)
    ):
        if isinstance(strategy, EvictingStrategy):
            try:
                records.append(_of_evicting(strategy, state, cache.batch))
            except SnapshotError as error:
                raise SnapshotError(f"layer {number}: {error}") from None
            continue
        key = id(strategy), state  # layers in step share one record
        if key not in known:
            known[key] = _of_plain(strategy, state, cache.batch)
        records.append(known[key])
    return records


def runs_in(strategy: Strategy, states: Sequence[State]) -> tuple[Runs, ...]:
    """Where the rows of these states sit, oldest first, by the strategy alone."""
    alike = states[:1] if all(state == states[0] for state in states) else states
    return tuple(tuple((run.slot, run.rows) for run in strategy.resident(state)) for state in alike)


def positions_in(strategy: Strategy, state: State) -> NDArray[np.int64]:
    """Positions of the rows of a state, oldest first, by the strategy alone."""
    pieces = [np.arange(run.position, run.position + run.rows) for run in strategy.resident(state)]
    return np.concatenate(pieces, dtype=np.int64) if pieces else np.empty(0, np.int64)


def runs_of(slots: NDArray[np.int64]) -> Runs:
    """Ascending slots as runs.

    Examples
    --------
    >>> runs_of(np.array([0, 1, 2, 5, 7, 8]))
    [(0, 3), (5, 1), (7, 2)]
    """
    if not len(slots):
        return []
    starts = np.flatnonzero(np.diff(slots, prepend=slots[0] - 2) != 1)
    rows = np.diff(starts, append=len(slots))
    return list(zip(slots[starts].tolist(), rows.tolist(), strict=True))


def remembered_as(mode: Mode) -> tuple[str, type] | None:
    """The name and type of the number that a mode's policy keeps of every row, if it does."""
    eviction = getattr(mode, "eviction", None)
    if isinstance(eviction, LRU):
        return "last_used", np.int64
    if isinstance(eviction, HeavyHitter):
        return "scores", np.float64
    return None


def _of_plain(strategy: Strategy, state: LayerState, batch: int) -> LayerRecord:
    states = per_batch_row(state, batch)
    known = {state: positions_in(strategy, state) for state in set(states)}
    return LayerRecord(states, tuple(known[state] for state in states), runs_in(strategy, states))


def _of_evicting(strategy: EvictingStrategy, state: LayerState, batch: int) -> LayerRecord:
    pins = strategy.catch_up().pins
    table = strategy.table.positions
    slots = tuple(np.flatnonzero(row >= 0) for row in table)
    tracker = strategy.tracker
    remembered = Remembered(
        slots,
        tuple(np.array(sorted(of), dtype=np.int64) for of in pins),
        tracker.stamp,
        tuple(tracker.remembered(b, of) for b, of in enumerate(slots)),
        tracker.told(),
    )
    positions = tuple(row[of] for row, of in zip(table, slots, strict=True))
    runs = tuple(map(runs_of, slots))
    return LayerRecord(per_batch_row(state, batch), positions, runs, remembered)


def restore(strategy: Strategy, record: LayerRecord, shared: dict[LayerState, Move]) -> Move:
    """Bring a new layer's strategy to where a record says; the move that the layer rests in."""
    state = joined_state(record.states)
    remembered = record.remembered
    if remembered is None:
        return strategy.rest(state, shared)
    assert isinstance(strategy, EvictingStrategy)
    strategy.table.put(remembered.slots, record.positions)
    tracker = strategy.tracker
    tracker.stamp = remembered.clock
    for batch_row, (slots, numbers) in enumerate(
        zip(remembered.slots, remembered.of_rows, strict=True)
    ):
        tracker.remember(batch_row, slots, numbers)
    tracker.tell(remembered.policies)
    pins = tuple(frozenset(of.tolist()) for of in remembered.pins)
    return strategy.rest_in(Rest(state, pins))
