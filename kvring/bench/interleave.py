"""Side by side in one run: contestants take turns, and ratios are taken round by round.

A noisy machine slows whole stretches of time, so two contestants are compared only within a round,
and the median of the rounds is what counts. Every second round goes through them backwards
(A B C, C B A, ...), so that none always runs behind the same other one.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

__all__ = ["Contestant", "Result", "measure"]


def _nothing() -> None:
    """What most contestants do before a round."""


@dataclass(frozen=True)
class Contestant:
    """Something to be timed.

    Parameters
    ----------
    run : callable
        What is timed.
    prepare : callable, optional
        Called before each timed round, untimed.
    steps : int
        How often it runs in a round; times are given for one run.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    steps: int = 1


@dataclass(frozen=True)
class Result:
    """Seconds for one run in each round, of each contestant, in the order of the rounds.

    Examples
    --------
    >>> result = Result({"ours": [1.0, 10.0, 1.0], "theirs": [2.0, 20.0, 3.0]})
    >>> result.typical("theirs"), result.ratio("theirs", to="ours")
    (3.0, 2.0)
    """

    seconds: Mapping[str, list[float]]

    def typical(self, name: str) -> float:
        """Median seconds of one contestant."""
        return median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median over the rounds of one contestant's time divided by another's."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return median(first / second for first, second in pairs)


def measure(
    contestants: Mapping[str, Contestant],
    rounds: int,
    warm_up: int = 2,
    *,
    within: float = float("inf"),
    least: int = 3,
) -> Result:
    """Time all contestants in turn, `rounds` times, after some rounds that do not count.

    Parameters
    ----------
    contestants : mapping of str to Contestant
        Who takes part.
    rounds : int
        The most rounds that count.
    warm_up : int
        Rounds before them.
    within : float, seconds
        No further round begins after this time...
    least : int
        ...unless fewer than this many have been counted.

    Returns
    -------
    Result

    Notes
    -----
    Garbage collection is off while rounds run; what a contestant raises ends the measurement.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    started = perf_counter()
    try:
        for number in range(warm_up + rounds):
            if number >= warm_up + least and perf_counter() - started > within:
                break
            for name in names if number % 2 else reversed(names):
                elapsed = _timed(contestants[name])
                if number >= warm_up:
                    seconds[name].append(elapsed)
    finally:
        if collects:
            gc.enable()
    return Result(seconds)


def _timed(contestant: Contestant) -> float:
    run, steps = contestant.run, contestant.steps
    contestant.prepare()
    started = perf_counter()
    for _ in range(steps):
        run()
    return (perf_counter() - started) / steps
