"""Whether a record is one that a cache can have: stated from the laws, before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..config import Append, Circular, Mode
from ..errors import SnapshotError
from ..eviction import LRU
from .records import positions_in, remembered_as

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..rows import State
    from ..strategy import Strategy
    from .records import LayerRecord, Remembered

__all__ = ["check_evicting", "check_plain"]


def check_plain(number: int, mode: Mode, strategy: Strategy, record: LayerRecord) -> None:
    """Laws 2 to 4 without eviction; raises SnapshotError."""
    known: dict[State, NDArray[np.int64]] = {}
    for state, positions in zip(record.states, record.positions, strict=True):
        where = f"layer {number}, {mode}, {state}"
        if state not in known:
            _check_state(state, mode, where)
            known[state] = positions_in(strategy, state)
        _require(np.array_equal(known[state], positions), f"{where}: other positions than these")


def check_evicting(number: int, mode: Append, record: LayerRecord) -> None:
    """Law 2 with a policy; raises SnapshotError."""
    remembered = record.remembered
    assert remembered is not None
    for batch_row, state in enumerate(record.states):
        where = f"layer {number}, batch row {batch_row}, {state}"
        _check_numbers(state, mode.capacity, where)
        floor = state.truncate_floor
        _require(floor <= state.seq_len, f"{where}: truncate_floor above seq_len")
        _require(state.head == 0, f"{where}: head is not slot 0")
        slots, positions = remembered.slots[batch_row], record.positions[batch_row]
        _check_rows(state, mode, slots, positions, where)
        _check_staying(state, mode, remembered.pins[batch_row], positions, where)
        _check_counted(mode, remembered, batch_row, where)


def _check_state(state: State, mode: Mode, where: str) -> None:
    _check_numbers(state, mode.capacity, where)
    _require(state.truncate_floor == 0, f"{where}: a truncate_floor without eviction")
    if not isinstance(mode, Circular):
        _require(state.length == state.seq_len, f"{where}: a position is missing")
        _require(state.head == 0, f"{where}: head is not slot 0")
        # Replace mode counts every update; whoever never took anything back has lost nothing.
        _require(isinstance(mode, Append) or state.epoch > 0 or not state.seq_len, where)
        return
    sink_rows = min(state.seq_len, mode.sink_tokens)
    behind_sinks = state.length - sink_rows
    turn = mode.window + mode.rollback_tokens
    needed = min(mode.window, state.seq_len - sink_rows)
    _require(needed <= behind_sinks <= turn, f"{where}: no ring has so many rows of so many tokens")
    whole = min(state.seq_len, mode.capacity)
    _require(state.epoch > 0 or state.length == whole, f"{where}: rows are missing")
    oldest = state.seq_len - behind_sinks - mode.sink_tokens
    slot = mode.sink_tokens + (oldest % turn if behind_sinks else 0)
    _require(state.head == slot, f"{where}: the oldest row of the ring is in slot {slot}")


def _check_numbers(state: State, capacity: int, where: str) -> None:
    _require(min(state) >= 0, f"{where}: a negative number")
    _require(state.length <= capacity, f"{where}: more rows than {capacity} slots")
    _require(state.length <= state.seq_len, f"{where}: more rows than tokens")


def _check_rows(
    state: State,
    mode: Append,
    slots: NDArray[np.int64],
    positions: NDArray[np.int64],
    where: str,
) -> None:
    """That each row has a slot and a position of its own."""
    if not len(slots):
        _require(state.seq_len == state.truncate_floor, f"{where}: rows are missing")
        return
    ascending = bool((np.diff(slots) > 0).all())
    _require(ascending and slots[0] >= 0 and slots[-1] < mode.capacity, f"{where}: wrong slots")
    ordered = np.sort(positions)
    fine = ordered[0] >= 0 and ordered[-1] < state.seq_len and bool((np.diff(ordered) > 0).all())
    _require(fine, f"{where}: wrong positions")
    if state.truncate_floor == 0:
        _require(
            np.array_equal(positions, slots) and state.length == state.seq_len,
            f"{where}: nothing has left, yet slots are not positions",
        )


def _check_staying(
    state: State, mode: Append, pins: NDArray[np.int64], positions: NDArray[np.int64], where: str
) -> None:
    """That sinks, pins and all rows since the last eviction are there."""
    sink_rows = min(mode.sink_tokens, state.seq_len)
    _require(np.count_nonzero(positions < sink_rows) == sink_rows, f"{where}: sinks are gone")
    recent = np.count_nonzero(positions >= state.truncate_floor)
    _require(recent == state.seq_len - state.truncate_floor, f"{where}: recent rows are gone")
    if len(pins):
        fine = bool((np.diff(pins) > 0).all()) and pins[0] >= mode.sink_tokens
        _require(fine and bool(np.isin(pins, positions).all()), f"{where}: wrong pins")


def _check_counted(mode: Append, remembered: Remembered, batch_row: int, where: str) -> None:
    """What the policy remembers of its rows."""
    kept = remembered_as(mode)
    numbers = remembered.of_rows[batch_row]
    if isinstance(mode.eviction, LRU):
        fine = remembered.clock > 0
        fine = fine and bool(((numbers > 0) & (numbers < remembered.clock)).all())
    else:
        fine = remembered.clock == 0 and (kept is None or bool((numbers >= 0).all()))
    _require(fine, f"{where}: the policy remembers what cannot be")


def _require(holds: object, broken: str) -> None:
    if not holds:
        raise SnapshotError(f"no cache is like this: {broken}")
