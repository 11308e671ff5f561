"""Every interleaving of a few operations: threads take turns, one point at a time.

All threads but one stand still. At each point the running thread asks the schedule who goes on,
and hands over if it is another one; whoever waits for a lock is not asked before it is free.
Running all schedules is a depth-first walk: run once, always taking the first that can go on; then
change the last choice that can be changed, and run again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from .points import Points

SECONDS = 60.0  # for a whole run: nothing here waits for anything but a turn


class DeadlockError(AssertionError):
    """Every thread waits for another one."""


@dataclass
class Player:
    """One thread: its work, and what it waits for."""

    work: Callable[[], None]
    turn: threading.Lock = field(default_factory=lambda: _taken())  # given back to hand over
    can_go_on: Callable[[], bool] = lambda: True
    done: bool = False
    error: BaseException | None = None


class Schedule(Points):
    """One run of some threads; `choices` says who goes first where several can."""

    def __init__(self, choices: list[int]) -> None:
        self.choices = choices
        self.options: list[int] = []  # how many could have gone on, at each choice
        self.players: list[Player] = []
        self.over = _taken()
        self.me = threading.local()
        self.clock = 0

    def run(self, works: list[Callable[[], None]]) -> None:
        """Run all of `works` to their ends; an exception in one of them comes out here."""
        self.players = [Player(work) for work in works]
        threads = [threading.Thread(target=self._play, args=(p,)) for p in self.players]
        for thread in threads:
            thread.daemon = True  # after a deadlock they wait for ever
            thread.start()
        self._hand_over()
        assert self.over.acquire(timeout=SECONDS), "a thread waits at something else"
        if not all(player.done for player in self.players):
            raise DeadlockError(f"deadlock after the choices {self.choices}")
        for thread, player in zip(threads, self.players, strict=True):
            thread.join()
            if player.error is not None:
                raise player.error

    def now(self) -> int:
        """A number for this moment: later moments have larger ones."""
        self.clock += 1
        return self.clock

    def at(self) -> None:
        self.until(lambda: True)

    def until(self, can: Callable[[], bool]) -> None:
        player = getattr(self.me, "player", None)
        if player is None:
            return  # a thread that is not on the schedule, such as one that compiles
        player.can_go_on = can
        if self._hand_over() is not player:
            player.turn.acquire()

    def _play(self, player: Player) -> None:
        self.me.player = player
        player.turn.acquire()
        try:
            player.work()
        except BaseException as error:
            player.error = error
        player.done = True
        self._hand_over()

    def _hand_over(self) -> Player | None:
        """Let the one whose turn it is go on; None if nobody can."""
        able = [player for player in self.players if not player.done and player.can_go_on()]
        if not able:
            self.over.release()
            return None
        next_one = able[self._choice(len(able))]
        if next_one is not getattr(self.me, "player", None):
            next_one.turn.release()
        return next_one

    def _choice(self, options: int) -> int:
        number = len(self.options)
        self.options.append(options)
        if number == len(self.choices):
            self.choices.append(0)
        return self.choices[number]


def _taken() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@contextmanager
def points_at_every_line_of(name: str, points: Points) -> Iterator[None]:
    """Have this thread pass a point before each line of the functions of that name."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_name != name:
            return None
        if event == "line":
            points.at()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def every_schedule(run: Callable[[Schedule], Any], limit: int = 100_000) -> Iterator[Any]:
    """What `run` gives for every schedule there is."""
    choices: list[int] = []
    for _ in range(limit):
        schedule = Schedule(choices)
        yield run(schedule)
        while choices and choices[-1] + 1 >= schedule.options[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1
    raise AssertionError(f"more than {limit} schedules")
