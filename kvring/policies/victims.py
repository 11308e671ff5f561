"""WHO gives way under the policies that are built in: FIFO, LRU, heavy hitters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..eviction import FIFO, LRU, HeavyHitter
from .lightest import LightestFirst
from .own import AskedPolicies
from .plans import EvictingMove, EvictingPlan, Rest
from .residents import Origin, Residents, reserved_table
from .trackers import Guard, Observed, Tracker, lowest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..config import Append

__all__ = ["LeastRecentFirst", "OldestFirst", "tracker_for"]


class OldestFirst(Tracker):
    """FIFO: rows in the order of their positions.

    The order is worked out for some rows at a time: a queue of slots. An entry counts while the row
    is there that it was made for. So taking one from the queue costs the same in any capacity, and
    needs no bookkeeping: once the slot holds another row, the entry is void.
    """

    def __init__(self, residents: Residents) -> None:
        super().__init__(residents)
        self._queues: list[_Queue | None] = [None] * residents.batch

    def victims(self, batch_row: int, guard: Guard, count: int, seq_len: int) -> NDArray[np.int64]:
        if count > 1:
            queue = self._new_queue(batch_row, guard, count)
            return np.array(queue.slots, dtype=np.int64)
        slot = self._next(self._queues[batch_row], batch_row, guard)
        if slot is None:
            used = self.residents.used_slots
            queue = self._new_queue(batch_row, guard, max(64, used // 16))
            self._queues[batch_row] = queue
            slot = queue.slots[0]
        return np.array([slot], dtype=np.int64)

    def first_victim(self, guard: Guard, seq_len: int) -> int:
        slot = self._next(self._queues[0], 0, guard)
        return int(self.victims(0, guard, 1, seq_len)[0]) if slot is None else slot

    def _next(self, queue: _Queue | None, batch_row: int, guard: Guard) -> int | None:
        """The first entry that counts; None if there is none left."""
        if queue is None or queue.guard is not guard:
            return None
        slots, positions, row = queue.slots, queue.positions, self.residents.rows[batch_row]
        for at in range(queue.at, len(slots)):
            slot = slots[at]
            if row[slot] == positions[at] and self._unchanged(batch_row, slot, queue.stamp):
                queue.at = at  # what is void stays void
                return slot
        return None

    def _unchanged(self, batch_row: int, slot: int, stamp: int) -> bool:
        """Whether a row is still as it was when the queue was made."""
        return True

    def _new_queue(self, batch_row: int, guard: Guard, count: int) -> _Queue:
        positions = self.residents.positions[batch_row]
        keys = self._keys(batch_row)
        slots = lowest(keys, positions, guard.passes(positions), count)
        return _Queue(slots.tolist(), positions[slots].tolist(), guard, self.stamp)

    def _keys(self, batch_row: int) -> NDArray[np.int64]:
        positions: NDArray[np.int64] = self.residents.positions[batch_row]
        return positions


class LeastRecentFirst(OldestFirst):
    """LRU: rows in the order of when they were last used, on a clock that counts calls."""

    def __init__(self, residents: Residents, threshold: float | None) -> None:
        super().__init__(residents)
        self.stamp = 1
        self._threshold = threshold
        self._stamps = reserved_table((residents.batch, residents.capacity), np.int64)
        self._rows = [row.data for row in self._stamps]

    @property
    def nbytes(self) -> int:
        return self._stamps.nbytes

    def enter(self, move: EvictingMove) -> None:
        if isinstance(move, Rest):
            return
        self.stamp = move.stamp + 1
        if move.count == 1 and self.residents.batch == 1 and isinstance(move, EvictingPlan):
            self._rows[0][move.slot] = move.stamp
        else:
            self._stamps[move.cells] = move.stamp

    def touched(self, positions: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        self._use(slots >= 0, slots)

    def observed(self, seen: Observed) -> None:
        rows = seen.by_row.shape[1]
        if seen.in_slots:  # then the stamps of these rows are one piece, and need no index
            least = self._least(rows, seen.weights.dtype)
            self._stamps[:, :rows][seen.by_row >= least] = self._tick()
            return
        live = seen.slots >= 0
        counted = np.maximum(live.sum(axis=1, keepdims=True), 1)
        least = self._least(counted, seen.weights.dtype)
        self._use(live & (seen.by_row >= least), seen.slots)

    def take_from(self, other: LeastRecentFirst) -> None:
        used = self.residents.used_slots
        self._stamps[:, :used] = other._stamps[:, :used]
        self.stamp = other.stamp

    def remembered(self, batch_row: int, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        stamps: NDArray[np.int64] = self._stamps[batch_row, slots]
        return stamps

    def remember(
        self, batch_row: int, slots: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> None:
        self._stamps[batch_row, slots] = numbers

    def take_rows(self, origins: Sequence[Origin]) -> None:
        for row, origin in zip(self._stamps, origins, strict=True):
            row[origin.to_slots] = origin.tracker._stamps[origin.batch_row, origin.from_slots]
        self.stamp = max(origin.tracker.stamp for origin in origins)

    def broken(self) -> str:
        positions = self.residents.positions
        stamps = self._stamps[:, : positions.shape[1]][positions >= 0]
        fine = not len(stamps) or 0 < stamps.min() <= stamps.max() < self.stamp
        return "" if fine else f"rows used at {stamps.tolist()}, it is {self.stamp} now"

    def _use(self, which: NDArray[np.bool_], slots: NDArray[np.int64]) -> None:
        batch_row, column = np.nonzero(which)
        self._stamps[batch_row, slots[batch_row, column]] = self._tick()

    def _least(self, rows: Any, dtype: np.dtype[Any]) -> Any:
        """The weight from which a row counts as used, of so many that are shown."""
        if self._threshold is not None:
            return self._threshold
        # Rounded as the weights are: an equal share of 25 rows is less in float32 than 1 / 25.
        return np.asarray(1 / rows).astype(dtype).astype(np.float64)

    def _tick(self) -> int:
        """What the clock shows, for all that one call uses."""
        now = self.stamp
        self.stamp += 1
        return now

    def _unchanged(self, batch_row: int, slot: int, stamp: int) -> bool:
        return bool(self._rows[batch_row][slot] < stamp)

    def _keys(self, batch_row: int) -> NDArray[np.int64]:
        return self._stamps[batch_row, : self.residents.used_slots]


class _Queue:
    """Slots in the order in which their rows give way, and what makes an entry void."""

    __slots__ = ("at", "guard", "positions", "slots", "stamp")

    def __init__(self, slots: list[int], positions: list[int], guard: Guard, stamp: int) -> None:
        self.slots = slots
        self.positions = positions
        self.guard = guard
        self.stamp = stamp
        self.at = 0


def tracker_for(mode: Append, residents: Residents) -> Tracker:
    """The tracker that carries out a configured policy."""
    policy = mode.eviction
    if isinstance(policy, FIFO):
        return OldestFirst(residents)
    if isinstance(policy, LRU):
        return LeastRecentFirst(residents, policy.threshold)
    if isinstance(policy, HeavyHitter):
        return LightestFirst(residents, policy.recent_tokens)
    return AskedPolicies(residents, policy)
