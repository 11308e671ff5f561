"""Eviction policies of one's own, for tests. They take lists and arrays alike."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from kvring import EvictionPolicy


class NewestFirst(EvictionPolicy):
    """Needs to know nothing, and is written without a base class's help."""

    def victims(self, candidates: Any, count: int) -> Any:
        return [int(position) for position in candidates][::-1][:count]

    def to_bytes(self) -> bytes:
        return b""

    def from_bytes(self, data: bytes) -> None:
        assert data == b""


class Tova(EvictionPolicy):
    """TOVA: who got least from the newest query gives way."""

    def __init__(self) -> None:
        self.weight: dict[int, float] = {}

    def observed(self, positions: Any, weights: Any) -> None:
        newest = np.asarray(weights)[:, -1].mean(axis=0)
        self.weight = dict(zip(map(int, positions), newest.tolist(), strict=True))

    def victims(self, candidates: Any, count: int) -> Any:
        return sorted(candidates, key=lambda position: self.weight.get(int(position), 1))[:count]


class Bookkeeper(EvictionPolicy):
    """Least often touched first; also verifies that it is told of everything there is."""

    def __init__(self) -> None:
        self.touches: dict[int, int] = {}

    def written(self, positions: list[int]) -> None:
        assert positions == list(range(positions[0], positions[-1] + 1))
        assert not set(positions) & set(self.touches)
        self.touches.update(dict.fromkeys(positions, 0))

    def touched(self, positions: list[int]) -> None:
        for position in positions:
            self.touches[position] += 1

    def dropped(self, positions: list[int]) -> None:
        assert positions == sorted(positions)
        for position in positions:
            del self.touches[position]

    def victims(self, candidates: Any, count: int) -> Any:
        assert set(map(int, candidates)) <= set(self.touches)
        return sorted(candidates, key=lambda position: self.touches[int(position)])[:count]

    def to_bytes(self) -> bytes:
        return repr(self.touches).encode()

    def from_bytes(self, data: bytes) -> None:
        self.touches = ast.literal_eval(data.decode())


class Muddled(NewestFirst):
    """Answers nonsense whenever the oldest candidate is an odd one."""

    def victims(self, candidates: Any, count: int) -> Any:
        oldest = int(candidates[0])
        answers = [list(candidates)[:count], [oldest] * (count + 1), [], [oldest + 10**20] * count]
        return answers[oldest % 4] if oldest % 2 else answers[0]
