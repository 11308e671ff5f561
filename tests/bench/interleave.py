"""Side by side in one run: contestants take turns, and ratios are taken round by round.

A noisy machine slows whole stretches of time, so two contestants are compared only within a round,
and the median of the rounds is what counts. Which of them goes first alternates.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

__all__ = ["Contestant", "Result", "measure"]


@dataclass(frozen=True)
class Contestant:
    """Something to be timed.

    Parameters
    ----------
    run : callable
        What is timed.
    prepare : callable, optional
        Called before each timed run, untimed.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Result:
    """Seconds per round of each contestant, in the order of the rounds."""

    seconds: Mapping[str, list[float]]

    def typical(self, name: str) -> float:
        """Median seconds of one contestant."""
        return median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median over the rounds of one contestant's time divided by another's."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return median(ours / theirs for ours, theirs in pairs)


def measure(contestants: Mapping[str, Contestant], rounds: int, warm_up: int = 2) -> Result:
    """Time all contestants in turn, `rounds` times, after some rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    gc.collect()
    gc.disable()
    try:
        for number in range(warm_up + rounds):
            for name in names if number % 2 else reversed(names):
                contestants[name].prepare()
                started = perf_counter()
                contestants[name].run()
                elapsed = perf_counter() - started
                if number >= warm_up:
                    seconds[name].append(elapsed)
    finally:
        gc.enable()
    return Result(seconds)
