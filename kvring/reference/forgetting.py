"""Who gives way in one token sequence of the reference: plain dicts and sorted lists (law 2).

A `TokenSequence` of an append layer with an eviction policy has one `Forgetting`. Scores are kept
under positions, never under slots, and every choice sorts all that there is.
"""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

from ..config import Append
from ..errors import PolicyError
from ..eviction import FIFO, LRU, HeavyHitter

__all__ = ["Forgetting", "Weights"]

Weights = list[list[list[float]]]  # query heads of queries of columns


class Forgetting:
    """What a sequence remembers of its rows in order to choose between them.

    Examples
    --------
    >>> forgetting = Forgetting(Append(4, eviction=LRU(), sink_tokens=1))
    >>> forgetting.written([0, 1, 2, 3])
    >>> forgetting.touched([1])
    >>> forgetting.pinned.add(2)
    >>> forgetting.victims([0, 1, 2, 3], 2, seq_len=6)
    [3, 1]
    """

    def __init__(self, mode: Append) -> None:
        self.mode = mode
        self.pinned: set[int] = set()
        self.least_seq_len = 0  # how far back truncate goes, besides to 0
        self._clock = 0
        self._used: dict[int, int] = {}
        self._score: dict[int, float] = {}
        builtin = mode.eviction is None or isinstance(mode.eviction, (FIFO, LRU, HeavyHitter))
        self._own: Any = None if builtin else deepcopy(mode.eviction)

    def guarded(self, position: int) -> bool:
        """Whether a row stays because it is pinned or a sink."""
        return position in self.pinned or position < self.mode.sink_tokens

    def victims(self, resident: list[int], count: int, seq_len: int) -> list[int]:
        """Which `count` rows give way, the first one first; `seq_len` is that after the update."""
        free_to_go = [position for position in resident if not self.guarded(position)]
        if self._own is not None:
            return self._asked(free_to_go, count)
        return sorted(free_to_go, key=lambda position: self._worth(position, seq_len))[:count]

    def _worth(self, position: int, seq_len: int) -> tuple[float, ...]:
        """Who has the least goes first; ties go to the oldest."""
        policy = self.mode.eviction
        if isinstance(policy, LRU):
            return (self._used[position], position)
        if isinstance(policy, HeavyHitter):
            if position >= seq_len - policy.recent_tokens:
                return (1, position)  # recent ones only when all others are gone
            return (0, self._score[position], position)
        return (position,)

    def _asked(self, free_to_go: list[int], count: int) -> list[int]:
        """What a policy of one's own answers, if it is an answer."""
        answer = list(self._own.victims(list(free_to_go), count))
        if len(answer) != count or len(set(answer)) != count or not set(answer) <= set(free_to_go):
            raise PolicyError(f"victims: expected {count} out of {free_to_go}, got {answer}")
        return answer

    def written(self, positions: list[int]) -> None:
        """New rows are there."""
        self._clock += 1
        for position in positions:
            self._used[position] = self._clock
            self._score[position] = 0.0
        if self._own is not None:
            self._own.written(list(positions))

    def touched(self, positions: list[int]) -> None:
        """These rows were attended to."""
        self._clock += 1
        for position in positions:
            self._used[position] = self._clock
        if self._own is not None:
            self._own.touched(list(positions))

    def observed(self, columns: list[int], weights: Weights) -> None:
        """Attention weights came; `columns` are positions, -1 for a column that is no row."""
        self._clock += 1
        rows = [position for position in columns if position >= 0]
        policy = self.mode.eviction
        # These weights are float64, as 1 / rows is; where they are of another dtype, the cache
        # rounds it to that one. A caller who compares the two has weights that are exact in both.
        threshold = (isinstance(policy, LRU) and policy.threshold) or 1 / max(len(rows), 1)
        for column, position in enumerate(columns):
            if position < 0:
                continue
            given = [query[column] for head in weights for query in head]
            gathered = 0.0
            for weight in given:  # one by one: newer Pythons' sum() rounds in another way
                gathered += weight
            self._score[position] += gathered
            if given and max(given) >= threshold:
                self._used[position] = self._clock
        if self._own is not None:
            kept = [number for number, position in enumerate(columns) if position >= 0]
            shown = [[[query[n] for n in kept] for query in head] for head in weights]
            self._own.observed(rows, shown)

    def dropped(self, positions: list[int]) -> None:
        """These rows are gone, and with them all that was known of them."""
        for position in positions:
            del self._used[position], self._score[position]
        self.pinned -= set(positions)
        if self._own is not None and positions:
            self._own.dropped(sorted(positions))

    def copy(self) -> Forgetting:
        """The same, to go on apart."""
        twin = copy(self)
        twin.pinned = set(self.pinned)
        twin._used, twin._score = dict(self._used), dict(self._score)
        twin._own = deepcopy(self._own)
        return twin
