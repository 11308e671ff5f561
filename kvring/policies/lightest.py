"""WHO gives way under the policy of heavy hitters: whoever gathered the least weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .plans import EvictingMove, RaggedEvictingPlan, Rest
from .residents import Origin, Residents, reserved_table
from .trackers import Guard, Observed, Tracker, lowest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LightestFirst"]


class LightestFirst(Tracker):
    """Heavy hitters: rows in the order of the weight they have gathered; recent ones last.

    Beside the scores stand keys that need only be searched for their minimum: the score of a row
    that may go, infinity for pins, sinks, recent rows and empty slots. They hold for one guard and
    one `floor`, the first recent position. When the floor moves on by one token, one row changes
    from infinity to its score; whatever else happens has them worked out anew.
    """

    way = "sum"

    def __init__(self, residents: Residents, recent_tokens: int) -> None:
        super().__init__(residents)
        self._recent_tokens = recent_tokens
        # The row that an update brings is not there yet when it asks who shall go.
        self._recent = max(recent_tokens, 1)
        self._with_keys = self._recent < residents.capacity
        batch, capacity = residents.batch, residents.capacity
        self._scores = reserved_table((batch, capacity), np.float64)
        self._keys = reserved_table((batch, capacity if self._with_keys else 0), np.float64)
        # Slot of each recent position, at position % recent.
        ring = self._recent if self._with_keys else 0
        self._slots = reserved_table((batch, ring), np.int64)
        self._valid: list[tuple[Guard, int] | None] = [None] * batch

    @property
    def nbytes(self) -> int:
        return self._scores.nbytes + self._keys.nbytes + self._slots.nbytes

    def enter(self, move: EvictingMove) -> None:
        if isinstance(move, Rest):
            return
        new = move.cells
        self._scores[new] = 0
        if not self._with_keys:
            return
        if move.count > 1:
            self._valid = [None] * self.residents.batch
            return
        if self.residents.batch > 1:  # others may use slots that a batch row does not
            used = self.residents.used_slots
            self._keys[:, used : max(used, int(move.slots.max()) + 1)] = np.inf
        self._keys[new] = np.inf
        if isinstance(move, RaggedEvictingPlan):
            self._slots[new[0], move.positions % self._recent] = new[1]
        else:
            self._slots[:, move.before.seq_len % self._recent] = np.ravel(move.slots)

    def observed(self, seen: Observed) -> None:
        valid, self._valid = self._valid, [None] * self.residents.batch  # if interrupted
        if seen.in_slots:
            which: Any = (slice(None), slice(0, seen.by_row.shape[1]))
            gathered = seen.by_row
        else:
            batch_row, column = np.nonzero(seen.slots >= 0)
            which = batch_row, seen.slots[batch_row, column]
            gathered = seen.by_row[batch_row, column]
        self._scores[which] += gathered  # the last of it is one store
        if self._with_keys:
            self._keys[which] += gathered
        self._valid = valid

    def broken(self) -> str:
        positions = self.residents.positions
        live = positions >= 0
        scores = self._scores[:, : positions.shape[1]][live]
        if not (scores >= 0).all():
            return f"scores {scores.tolist()}"
        if self._with_keys and None not in self._valid:
            keys = self._keys[:, : positions.shape[1]][live]
            if not ((keys == scores) | np.isinf(keys)).all():
                return f"keys {keys.tolist()} of scores {scores.tolist()}"
        return ""

    def take_from(self, other: LightestFirst) -> None:
        used = self.residents.used_slots
        self._scores[:, :used] = other._scores[:, :used]
        self._valid = [None] * self.residents.batch

    def remembered(self, batch_row: int, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._scores[batch_row, slots]
        return scores

    def remember(
        self, batch_row: int, slots: NDArray[np.int64], numbers: NDArray[np.float64]
    ) -> None:
        self._scores[batch_row, slots] = numbers

    def take_rows(self, origins: Sequence[Origin]) -> None:
        for row, origin in zip(self._scores, origins, strict=True):
            row[origin.to_slots] = origin.tracker._scores[origin.batch_row, origin.from_slots]

    def victims(self, batch_row: int, guard: Guard, count: int, seq_len: int) -> NDArray[np.int64]:
        if count == 1 and self._with_keys:
            self._bring_keys_to(batch_row, guard, seq_len - self._recent)
            found = self._lightest(batch_row)
            if found >= 0:
                return np.array([found], dtype=np.int64)
        positions = self.residents.positions[batch_row]
        free_to_go = guard.passes(positions)
        settled = free_to_go & (positions < seq_len - self._recent_tokens)
        scores = self._scores[batch_row, : len(positions)]
        chosen = lowest(scores, positions, settled, count)
        if len(chosen) == count:
            return chosen
        recent = lowest(positions, positions, free_to_go & ~settled, count - len(chosen))
        return np.concatenate([chosen, recent])

    def _bring_keys_to(self, batch_row: int, guard: Guard, floor: int) -> None:
        """Make the keys those of a guard and a first recent position."""
        valid = self._valid[batch_row]
        if valid is None or valid[0] is not guard or not floor - 1 <= valid[1] <= floor:
            self._new_keys(batch_row, guard, floor)
        elif valid[1] < floor:
            settled = floor - 1
            slot = int(self._slots[batch_row, settled % self._recent])
            there = self.residents.rows[batch_row][slot] == settled
            if there and settled >= guard.sink_tokens and settled not in guard.pins:
                self._keys[batch_row, slot] = self._scores[batch_row, slot]
        self._valid[batch_row] = guard, floor

    def _new_keys(self, batch_row: int, guard: Guard, floor: int) -> None:
        positions = self.residents.positions[batch_row]
        used = len(positions)
        may_go = guard.passes(positions) & (positions < floor)
        self._keys[batch_row, :used] = np.where(may_go, self._scores[batch_row, :used], np.inf)
        recent = np.flatnonzero(positions >= floor)
        self._slots[batch_row, positions[recent] % self._recent] = recent

    def _lightest(self, batch_row: int) -> int:
        """The slot of the lowest key, of the oldest row among equals; -1 if all are infinite."""
        keys = self._keys[batch_row, : self.residents.used_slots]
        first = int(keys.argmin())
        least = keys[first]
        if least == np.inf:
            return -1
        behind = keys[first + 1 :]
        if not len(behind) or behind[behind.argmin()] > least:
            return first
        equals = np.flatnonzero(keys == least)
        return int(equals[self.residents.positions[batch_row, equals].argmin()])
